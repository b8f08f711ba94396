// Convolution as a matrix product: a row for each output pixel, holding what its window sees of one group of channels in
// the order (row, column, channel).

KERNEL(im2col)(
    const real* x, real* rows, u32 count, int h, int w, int c, int oh, int ow, int kh, int kw, int stride, int top,
    int left, int first_channel, int channels) {
    FOR_EACH(i, count) {
        const u32 channel = i % channels, tap = i / channels;
        const u32 v = tap % kw, u = tap / kw % kh, pixel = tap / (kh * kw);
        const int row = int(pixel / ow % oh) * stride + int(u) - top, column = int(pixel % ow) * stride + int(v) - left;
        const u32 image = pixel / (oh * ow);
        const bool inside = row >= 0 && row < h && column >= 0 && column < w;
        rows[i] = inside ? x[((image * h + row) * w + column) * c + first_channel + channel] : real(0.0f);
    }
}
EXPORT(im2col)

// The other way: each pixel of the image sums up its places in the rows.
KERNEL(col2im)(
    const real* rows, real* x, u32 count, int h, int w, int c, int oh, int ow, int kh, int kw, int stride, int top,
    int left, int first_channel, int channels) {
    FOR_EACH(i, count) {
        const u32 channel = i % channels, pixel = i / channels;
        const int row = int(pixel / w % h) + top, column = int(pixel % w) + left;
        const u32 image = pixel / (h * w);
        float sum = 0.0f;
        for (int u = row % stride; u < kh; u += stride) {
            const int a = (row - u) / stride;
            if (u > row || a >= oh) continue;
            for (int v = column % stride; v < kw; v += stride) {
                const int b = (column - v) / stride;
                if (v > column || b >= ow) continue;
                const u32 pixel_row = (image * oh + a) * ow + b;
                sum += value(rows[((pixel_row * kh + u) * kw + v) * channels + channel]);
            }
        }
        put(&x[pixel * c + first_channel + channel], sum);
    }
}
EXPORT(col2im)
