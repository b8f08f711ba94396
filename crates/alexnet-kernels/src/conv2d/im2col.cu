// Convolution as a matrix product: one row per output pixel with the window values of one group of channels, in the order
// (row, column, channel).

// With `vector`, the group's channels are whole vectors, one per thread; otherwise one thread per row of a window.
KERNEL(im2col)(
    const real* x, real* rows, u32 count, int h, int w, int c, int oh, int ow, int kh, int kw, int stride, int top,
    int left, int first_channel, int channels, u32 vector) {
    if (vector) {
        const u32 vectors = channels / VECTOR;
        FOR_EACH(i, count / VECTOR) {
            const u32 channel = i % vectors * VECTOR, tap = i / vectors;
            const u32 v = tap % kw, line = tap / kw, u = line % kh, pixel = line / kh, image = pixel / (oh * ow);
            const int row = int(pixel / ow % oh) * stride + int(u) - top, column = int(pixel % ow) * stride + int(v) - left;
            float values[VECTOR] = {};
            if (row >= 0 && row < h && column >= 0 && column < w)
                load(x + ((image * h + row) * w + column) * c + first_channel + channel, values);
            store(rows + i * VECTOR, values);
        }
        return;
    }
    const int run = kw * channels;
    FOR_EACH(i, count / run) {
        const u32 u = i % kh, pixel = i / kh, image = pixel / (oh * ow);
        const int row = int(pixel / ow % oh) * stride + int(u) - top, start = int(pixel % ow) * stride - left;
        const bool inside = row >= 0 && row < h;
        for (int v = 0; v < kw; v++) {
            const int column = start + v;
            const bool here = inside && column >= 0 && column < w;
            for (int channel = 0; channel < channels; channel++)
                rows[i * run + v * channels + channel] =
                    here ? x[((image * h + row) * w + column) * c + first_channel + channel] : real(0.0f);
        }
    }
}
EXPORT(im2col)

template <int N>
__device__ void fold(
    const real* rows, real* x, u32 count, int h, int w, int c, int oh, int ow, int kh, int kw, int stride, int top,
    int left, int first_channel, int channels) {
    const u32 vectors = channels / N;
    FOR_EACH(i, count / N) {
        const u32 channel = i % vectors * N, pixel = i / vectors, line = pixel / w, image = line / h;
        const int row = int(line % h) + top, column = int(pixel % w) + left;
        float sum[N] = {};
        for (int u = row % stride; u < kh; u += stride) {
            const int a = (row - u) / stride;
            if (u > row || a >= oh) continue;
            for (int v = column % stride; v < kw; v += stride) {
                const int b = (column - v) / stride;
                if (v > column || b >= ow) continue;
                const u32 pixel_row = (image * oh + a) * ow + b;
                float part[N];
                load(rows + ((pixel_row * kh + u) * kw + v) * channels + channel, part);
#pragma unroll
                for (int j = 0; j < N; j++) sum[j] += part[j];
            }
        }
        store(x + pixel * c + first_channel + channel, sum);
    }
}

// The transpose of im2col: each pixel of the image is the sum over its places in the rows.
KERNEL(col2im)(
    const real* rows, real* x, u32 count, int h, int w, int c, int oh, int ow, int kh, int kw, int stride, int top,
    int left, int first_channel, int channels, u32 vector) {
    if (vector) fold<VECTOR>(rows, x, count, h, w, c, oh, ow, kh, kw, stride, top, left, first_channel, channels);
    else fold<1>(rows, x, count, h, w, c, oh, ow, kh, kw, stride, top, left, first_channel, channels);
}
EXPORT(col2im)
