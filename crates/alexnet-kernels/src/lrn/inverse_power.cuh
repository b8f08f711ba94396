// The power that both normalizations share.
#pragma once

// d^-beta; 0.75, the exponent of every published AlexNet, has a short way.
__device__ inline float inverse_power(float d, float beta) {
    return beta == 0.75f ? 1.0f / (sqrtf(d) * sqrtf(sqrtf(d))) : powf(d, -beta);
}
