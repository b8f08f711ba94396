// Locally connected layers as matrix products: one row for each position, image and group of channels, in this order,
// with the window values of the group in the order (row, column, channel).

KERNEL(local_unfold)(
    const real* x, real* rows, u32 count, u32 n, int h, int w, u32 oh, u32 ow, u32 kh, u32 kw, int stride, int top,
    int left, u32 groups, u32 channels) {
    FOR_EACH(i, count) {
        const u32 channel = i % channels, v = i / channels % kw, u = i / channels / kw % kh;
        const u32 of_image = i / (channels * kw * kh);
        const u32 group = of_image % groups, image = of_image / groups % n, position = of_image / groups / n;
        const int row = int(position / ow) * stride + int(u) - top, column = int(position % ow) * stride + int(v) - left;
        const bool inside = row >= 0 && row < h && column >= 0 && column < w;
        rows[i] = inside ? x[((image * h + row) * w + column) * (groups * channels) + group * channels + channel]
                         : real(0.0f);
    }
}
EXPORT(local_unfold)

// The reverse: each pixel of the image sums up its values in the rows.
KERNEL(local_fold)(
    const real* rows, real* x, u32 count, u32 n, int h, int w, int oh, int ow, int kh, int kw, int stride, int top,
    int left, u32 groups, u32 channels) {
    FOR_EACH(i, count) {
        const u32 channel = i % channels, group = i / channels % groups, pixel = i / (channels * groups);
        const int row = int(pixel / w % h) + top, column = int(pixel % w) + left;
        const u32 image = pixel / (h * w);
        float sum = 0.0f;
        for (int u = row % stride; u < kh && u <= row; u += stride) {
            const int a = (row - u) / stride;
            if (a >= oh) continue;
            for (int v = column % stride; v < kw && v <= column; v += stride) {
                const int b = (column - v) / stride;
                if (b >= ow) continue;
                const u32 line = ((a * ow + b) * n + image) * groups + group;
                sum += value(rows[((line * kh + u) * kw + v) * channels + channel]);
            }
        }
        put(&x[i], sum);
    }
}
EXPORT(local_fold)
