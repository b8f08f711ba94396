// Local response normalisation across the channels of channels-last images.
//
// Groups of channels follow one another in memory, so that a value's place in its group is its index modulo the group's
// size, and the images are one long row of groups.

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

// Values of a block, and the most that a window may reach to each side of one: `size` is at most LRN_REACH + 1.
#define LRN_TILE 256
#define LRN_REACH 32

// A block first loads its values and those within two windows of them, then computes g*y/D once for each value within
// one window, and sums these up.
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
    // The windows that hold a value belong to those from `after` before it to `before` after it.
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
