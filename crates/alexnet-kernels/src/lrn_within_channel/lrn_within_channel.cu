// Response normalization within each channel of channels-last images, over squares of pixels. A thread computes N
// channels of a pixel; with `vector`, the number of channels is a multiple of VECTOR.

// The channels of a thread: the index of the first one in the image's first pixel, and the square around its pixel.
struct Neighbors {
    u32 plane;
    Square square;
};

template <int N>
__device__ inline Neighbors neighbors_of(u32 i, int h, int w, int c, int before, int after) {
    const u32 vectors = c / N, pixel = i / vectors, channel = i % vectors * N, line = pixel / w;
    return {line / h * (h * w * c) + channel, square_at(line % h, pixel % w, h, w, before, after)};
}

template <int N>
__device__ inline void square_denominators(
    const real* x, const Neighbors& n, int w, int c, float k, float alpha, float (&d)[N]) {
    const Square s = n.square;
    float sum[N] = {};
    for (int row = s.top; row < s.bottom; row++) {
#pragma unroll 5
        for (int column = s.left; column < s.right; column++) {
            float v[N];
            load(x + n.plane + (row * w + column) * c, v);
#pragma unroll
            for (int j = 0; j < N; j++) sum[j] += v[j] * v[j];
        }
    }
#pragma unroll
    for (int j = 0; j < N; j++) d[j] = k + alpha * sum[j];
}

template <int N>
__device__ void same_map_forward(
    const real* x, real* y, u32 count, int h, int w, int c, int size, float k, float alpha, float beta) {
    FOR_EACH(i, count / N) {
        float d[N], v[N];
        square_denominators(x, neighbors_of<N>(i, h, w, c, size / 2, size - 1 - size / 2), w, c, k, alpha, d);
        load(x + i * N, v);
#pragma unroll
        for (int j = 0; j < N; j++) v[j] *= inverse_power(d[j], beta);
        store(y + i * N, v);
    }
}

KERNEL(lrn_within_channel_forward)(
    const real* x, real* y, u32 count, int h, int w, int c, int size, float k, float alpha, float beta, u32 vector) {
    if (vector) same_map_forward<VECTOR>(x, y, count, h, w, c, size, k, alpha, beta);
    else same_map_forward<1>(x, y, count, h, w, c, size, k, alpha, beta);
}
EXPORT(lrn_within_channel_forward)

template <int N>
__device__ void same_map_terms(
    const real* x, const real* grad_y, real* grad_x, float* terms, u32 count, int h, int w, int c, int size, float k,
    float alpha, float beta) {
    FOR_EACH(i, count / N) {
        float d[N], v[N], scaled[N];
        square_denominators(x, neighbors_of<N>(i, h, w, c, size / 2, size - 1 - size / 2), w, c, k, alpha, d);
        load(x + i * N, v);
        load(grad_y + i * N, scaled);
#pragma unroll
        for (int j = 0; j < N; j++) {
            scaled[j] *= inverse_power(d[j], beta);
            v[j] = scaled[j] * v[j] / d[j];
        }
        store(grad_x + i * N, scaled);
        store(terms + i * N, v);
    }
}

// First half of backward: grad_y*D^-beta into `grad_x`, and g*y/D into `terms`.
KERNEL(lrn_within_channel_terms)(
    const real* x, const real* grad_y, real* grad_x, float* terms, u32 count, int h, int w, int c, int size, float k,
    float alpha, float beta, u32 vector) {
    if (vector) same_map_terms<VECTOR>(x, grad_y, grad_x, terms, count, h, w, c, size, k, alpha, beta);
    else same_map_terms<1>(x, grad_y, grad_x, terms, count, h, w, c, size, k, alpha, beta);
}
EXPORT(lrn_within_channel_terms)

template <int N>
__device__ void same_map_backward(
    const real* x, const float* terms, real* grad_x, u32 count, int h, int w, int c, int size, float alpha, float beta) {
    FOR_EACH(i, count / N) {
        const Neighbors n = neighbors_of<N>(i, h, w, c, size - 1 - size / 2, size / 2);
        const Square s = n.square;
        float sum[N] = {}, v[N], grad[N];
        for (int row = s.top; row < s.bottom; row++) {
#pragma unroll 5
            for (int column = s.left; column < s.right; column++) {
                float term[N];
                load(terms + n.plane + (row * w + column) * c, term);
#pragma unroll
                for (int j = 0; j < N; j++) sum[j] += term[j];
            }
        }
        load(x + i * N, v);
        load(grad_x + i * N, grad);
#pragma unroll
        for (int j = 0; j < N; j++) grad[j] -= 2.0f * alpha * beta * v[j] * sum[j];
        store(grad_x + i * N, grad);
    }
}

// Second half: sums the terms of all squares that contain a pixel, which are in its mirrored square.
KERNEL(lrn_within_channel_backward)(
    const real* x, const float* terms, real* grad_x, u32 count, int h, int w, int c, int size, float alpha, float beta,
    u32 vector) {
    if (vector) same_map_backward<VECTOR>(x, terms, grad_x, count, h, w, c, size, alpha, beta);
    else same_map_backward<1>(x, terms, grad_x, count, h, w, c, size, alpha, beta);
}
EXPORT(lrn_within_channel_backward)
