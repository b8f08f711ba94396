// The power that the normalizations share.
#pragma once

// d^-beta, computed with square roots for 0.75, the exponent of every published AlexNet.
__device__ inline float inverse_power(float d, float beta) {
    return beta == 0.75f ? 1.0f / (sqrtf(d) * sqrtf(sqrtf(d))) : powf(d, -beta);
}
