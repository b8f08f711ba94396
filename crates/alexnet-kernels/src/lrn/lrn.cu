// Local response normalization across the channels of channels-last images.
//
// Groups of channels are contiguous in memory, so a value's position in its group is its index modulo the group's size,
// and the images are one long row of groups.

KERNEL(lrn_forward)(const real* x, real* y, u32 count, u32 group, u32 size, float k, float alpha, float beta) {
    const int before = size / 2, after = size - 1 - size / 2;
    FOR_EACH(i, count) {
        const int at = i % group;
        float sum = 0.0f;
        for (int j = max(-before, -at); j <= min(after, int(group) - 1 - at); j++) {
            const float v = value(x[i + j]);
            sum += v * v;
        }
        put(&y[i], value(x[i]) * inverse_power(k + alpha * sum, beta));
    }
}
EXPORT(lrn_forward)

// Windows of LRN_WINDOW channels, the size in every published network: a thread has a vector of channels and the
// channels on both sides of it, zeros outside the group, and all values stay in registers. Groups are multiples of
// VECTOR.
#define LRN_WINDOW 5
#define LRN_SIDE (LRN_WINDOW / 2)

// Channels -VECTOR to 2*VECTOR - 1 relative to `i`; those outside the group are zero.
__device__ inline void load_neighbors(const real* x, u32 i, u32 group, float (&to)[3 * VECTOR]) {
    const u32 at = i % group;
    float part[VECTOR];
#pragma unroll
    for (int side = 0; side < 3; side++) {
        const bool inside = side == 0 ? at > 0 : side == 1 || at + VECTOR < group;
        if (inside) load(x + i + side * VECTOR - VECTOR, part);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) to[side * VECTOR + j] = inside ? part[j] : 0.0f;
    }
}

// D of the channel at `j` of `load_neighbors`.
__device__ inline float denominator_of(const float (&x)[3 * VECTOR], int j, float k, float alpha) {
    float sum = 0.0f;
#pragma unroll
    for (int v = -LRN_SIDE; v <= LRN_SIDE; v++) sum += x[j + v] * x[j + v];
    return k + alpha * sum;
}

KERNEL(lrn_forward_vectors)(const real* x, real* y, u32 count, u32 group, float k, float alpha, float beta) {
    FOR_EACH(vector, count / VECTOR) {
        const u32 i = vector * VECTOR;
        float here[3 * VECTOR], result[VECTOR];
        load_neighbors(x, i, group, here);
#pragma unroll
        for (int j = 0; j < VECTOR; j++)
            result[j] = here[VECTOR + j] * inverse_power(denominator_of(here, VECTOR + j, k, alpha), beta);
        store(y + i, result);
    }
}
EXPORT(lrn_forward_vectors)

KERNEL(lrn_backward_vectors)(
    const real* x, const real* grad_y, real* grad_x, u32 count, u32 group, float k, float alpha, float beta) {
    FOR_EACH(vector, count / VECTOR) {
        const u32 i = vector * VECTOR;
        float here[3 * VECTOR], scaled[3 * VECTOR], terms[VECTOR + 2 * LRN_SIDE], result[VECTOR];
        load_neighbors(x, i, group, here);
        load_neighbors(grad_y, i, group, scaled);
        // The windows that contain a channel are those of its neighbors.
#pragma unroll
        for (int t = 0; t < VECTOR + 2 * LRN_SIDE; t++) {
            const int j = VECTOR - LRN_SIDE + t;
            const float d = denominator_of(here, j, k, alpha);
            scaled[j] *= inverse_power(d, beta);
            terms[t] = scaled[j] * here[j] / d;
        }
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            float sum = 0.0f;
#pragma unroll
            for (int v = 0; v < LRN_WINDOW; v++) sum += terms[j + v];
            result[j] = scaled[VECTOR + j] - 2.0f * alpha * beta * here[VECTOR + j] * sum;
        }
        store(grad_x + i, result);
    }
}
EXPORT(lrn_backward_vectors)

// Number of values of a block, and the maximum reach of a window to each side of one: `size` is at most LRN_REACH + 1.
#define LRN_TILE 256
#define LRN_REACH 32

// A block first loads its values and those within two windows of them, then computes g*y/D once for each value within
// one window, and sums these terms.
KERNEL(lrn_backward)(
    const real* x, const real* grad_y, real* grad_x, u32 count, u32 group, u32 size, float k, float alpha, float beta) {
    __shared__ float xs[LRN_TILE + 2 * LRN_REACH];
    __shared__ float scaled[LRN_TILE + LRN_REACH];
    __shared__ float terms[LRN_TILE + LRN_REACH];
    const int before = size / 2, after = size - 1 - size / 2, reach = size - 1;
    const int start = blockIdx.x * LRN_TILE;
    for (int t = threadIdx.x; t < LRN_TILE + 2 * reach; t += blockDim.x) {
        const int i = start + t - reach;
        xs[t] = i >= 0 && i < int(count) ? value(x[i]) : 0.0f;
    }
    __syncthreads();
    // The windows that contain a value are those of the values from `after` before it to `before` after it.
    for (int t = threadIdx.x; t < LRN_TILE + reach; t += blockDim.x) {
        const int i = start + t - after;
        scaled[t] = terms[t] = 0.0f;
        if (i >= 0 && i < int(count)) {
            const int at = i % group, here = t + before;
            float sum = 0.0f;
            for (int j = max(-before, -at); j <= min(after, int(group) - 1 - at); j++) sum += xs[here + j] * xs[here + j];
            const float d = k + alpha * sum;
            scaled[t] = value(grad_y[i]) * inverse_power(d, beta);
            terms[t] = scaled[t] * xs[here] / d;
        }
    }
    __syncthreads();
    const int i = start + threadIdx.x;
    if (i < int(count)) {
        const int at = i % group, here = threadIdx.x + after;
        float sum = 0.0f;
        for (int j = max(-after, -at); j <= min(before, int(group) - 1 - at); j++) sum += terms[here + j];
        put(&grad_x[i], scaled[here] - 2.0f * alpha * beta * xs[threadIdx.x + reach] * sum);
    }
}
EXPORT(lrn_backward)
