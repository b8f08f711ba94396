// Max-pooling of channels-last images. Backward gathers, so that no two threads write the same value. A thread computes
// N channels of a pixel.

template <int N>
__device__ void max_pool_forward(
    const real* x, real* y, void* indices, bool wide, u32 count, int h, int w, int c, int oh, int ow, int kernel,
    int stride, int padding) {
    const u32 vectors = c / N;
    FOR_EACH(i, count / N) {
        const u32 pixel = i / vectors, channel = i % vectors * N, line = pixel / ow, image = line / oh;
        const int top = int(line % oh) * stride - padding, left = int(pixel % ow) * stride - padding;
        float best[N];
        u32 where[N];
        bool begun = false;
        for (int u = max(-top, 0); u < min(kernel, h - top); u++) {
            for (int v = max(-left, 0); v < min(kernel, w - left); v++) {
                float here[N];
                load(x + ((image * h + top + u) * w + left + v) * c + channel, here);
#pragma unroll
                for (int j = 0; j < N; j++) {
                    // Of equal values the first; NaN is greater than every number.
                    if (!begun || here[j] > best[j] || (here[j] != here[j] && best[j] == best[j])) {
                        best[j] = here[j];
                        where[j] = u * kernel + v;
                    }
                }
                begun = true;
            }
        }
        store(y + i * N, best);
        if (indices && wide) {
#pragma unroll
            for (int j = 0; j < N; j++) static_cast<u32*>(indices)[i * N + j] = where[j];
        } else if (indices) {
            Packed<u8, N> bytes;
#pragma unroll
            for (int j = 0; j < N; j++) bytes.v[j] = where[j];
            reinterpret_cast<Packed<u8, N>*>(indices)[i] = bytes;
        }
    }
}

// `indices` receives each maximum's row-major position in its unclipped window, as a byte or, with `wide`, a u32; it
// may be null. With `vector`, the number of channels is a multiple of VECTOR.
KERNEL(max_pool2d_forward)(
    const real* x, real* y, void* indices, u32 wide, u32 count, int h, int w, int c, int oh, int ow, int kernel,
    int stride, int padding, u32 vector) {
    if (vector) max_pool_forward<VECTOR>(x, y, indices, wide, count, h, w, c, oh, ow, kernel, stride, padding);
    else max_pool_forward<1>(x, y, indices, wide, count, h, w, c, oh, ow, kernel, stride, padding);
}
EXPORT(max_pool2d_forward)

template <int N>
__device__ void max_pool_backward(
    const real* grad_y, const void* indices, bool wide, real* grad_x, u32 count, int h, int w, int c, int oh, int ow,
    int kernel, int stride, int padding) {
    const u32 vectors = c / N;
    FOR_EACH(i, count / N) {
        const u32 pixel = i / vectors, channel = i % vectors * N, line = pixel / w, image = line / h;
        const int row = line % h, column = pixel % w;
        int first_row, end_row, first_column, end_column;
        windows_of(row, oh, kernel, stride, padding, first_row, end_row);
        windows_of(column, ow, kernel, stride, padding, first_column, end_column);
        float sum[N] = {};
        for (int a = first_row; a < end_row; a++) {
            for (int b = first_column; b < end_column; b++) {
                const u32 at = ((image * oh + a) * ow + b) * c + channel;
                const u32 here = (row - a * stride + padding) * kernel + (column - b * stride + padding);
                float g[N];
                load(grad_y + at, g);
                if (wide) {
#pragma unroll
                    for (int j = 0; j < N; j++) sum[j] += static_cast<const u32*>(indices)[at + j] == here ? g[j] : 0.0f;
                } else {
                    const auto bytes = *reinterpret_cast<const Packed<u8, N>*>(static_cast<const u8*>(indices) + at);
#pragma unroll
                    for (int j = 0; j < N; j++) sum[j] += bytes.v[j] == here ? g[j] : 0.0f;
                }
            }
        }
        store(grad_x + i * N, sum);
    }
}

KERNEL(max_pool2d_backward)(
    const real* grad_y, const void* indices, u32 wide, real* grad_x, u32 count, int h, int w, int c, int oh, int ow,
    int kernel, int stride, int padding, u32 vector) {
    if (vector) max_pool_backward<VECTOR>(grad_y, indices, wide, grad_x, count, h, w, c, oh, ow, kernel, stride, padding);
    else max_pool_backward<1>(grad_y, indices, wide, grad_x, count, h, w, c, oh, ow, kernel, stride, padding);
}
EXPORT(max_pool2d_backward)
