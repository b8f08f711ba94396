// Max-pooling of channels-last images. Backward gathers, so that no two threads write one value.

// `indices` gets each maximum's row-major place in its unclipped window, a byte or with `wide` a u32; it may be null.
KERNEL(max_pool2d_forward)(
    const real* x, real* y, void* indices, u32 wide, u32 count, int h, int w, int c, int oh, int ow, int kernel,
    int stride, int padding) {
    FOR_EACH(i, count) {
        const u32 pixel = i / c, channel = i % c;
        const u32 image = pixel / (oh * ow);
        const int top = int(pixel / ow % oh) * stride - padding, left = int(pixel % ow) * stride - padding;
        float best = 0.0f;
        int where = -1;
        for (int u = max(-top, 0); u < min(kernel, h - top); u++) {
            for (int v = max(-left, 0); v < min(kernel, w - left); v++) {
                const float here = value(x[((image * h + top + u) * w + left + v) * c + channel]);
                // Of equal ones the first; a NaN is greater than every number.
                if (where < 0 || here > best || (here != here && best == best)) {
                    best = here;
                    where = u * kernel + v;
                }
            }
        }
        put(&y[i], best);
        if (indices) {
            if (wide) ((u32*)indices)[i] = where;
            else ((u8*)indices)[i] = where;
        }
    }
}
EXPORT(max_pool2d_forward)

KERNEL(max_pool2d_backward)(
    const real* grad_y, const void* indices, u32 wide, real* grad_x, u32 count, int h, int w, int c, int oh, int ow,
    int kernel, int stride, int padding) {
    FOR_EACH(i, count) {
        const u32 pixel = i / c, channel = i % c;
        const u32 image = pixel / (h * w);
        const int row = pixel / w % h, column = pixel % w;
        int first_row, end_row, first_column, end_column;
        windows_of(row, oh, kernel, stride, padding, first_row, end_row);
        windows_of(column, ow, kernel, stride, padding, first_column, end_column);
        float sum = 0.0f;
        for (int a = first_row; a < end_row; a++) {
            for (int b = first_column; b < end_column; b++) {
                const u32 at = ((image * oh + a) * ow + b) * c + channel;
                const u32 where = wide ? ((const u32*)indices)[at] : ((const u8*)indices)[at];
                const u32 here = (row - a * stride + padding) * kernel + (column - b * stride + padding);
                if (where == here) sum += value(grad_y[at]);
            }
        }
        put(&grad_x[i], sum);
    }
}
EXPORT(max_pool2d_backward)
