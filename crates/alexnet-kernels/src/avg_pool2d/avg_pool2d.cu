// Average pooling of channels-last images. A window clipped by the border is divided by its number of pixels in the
// image.

KERNEL(avg_pool2d_forward)(
    const real* x, real* y, u32 count, int h, int w, int c, int oh, int ow, int kernel, int stride, int padding) {
    FOR_EACH(i, count) {
        const u32 pixel = i / c, channel = i % c;
        const u32 image = pixel / (oh * ow);
        int top, bottom, left, right;
        clip(pixel / ow % oh, h, kernel, stride, padding, top, bottom);
        clip(pixel % ow, w, kernel, stride, padding, left, right);
        float sum = 0.0f;
        for (int row = top; row < bottom; row++)
            for (int column = left; column < right; column++)
                sum += value(x[((image * h + row) * w + column) * c + channel]);
        put(&y[i], sum / ((bottom - top) * (right - left)));
    }
}
EXPORT(avg_pool2d_forward)

KERNEL(avg_pool2d_backward)(
    const real* grad_y, real* grad_x, u32 count, int h, int w, int c, int oh, int ow, int kernel, int stride, int padding) {
    FOR_EACH(i, count) {
        const u32 pixel = i / c, channel = i % c;
        const u32 image = pixel / (h * w);
        int first_row, end_row, first_column, end_column;
        windows_of(pixel / w % h, oh, kernel, stride, padding, first_row, end_row);
        windows_of(pixel % w, ow, kernel, stride, padding, first_column, end_column);
        float sum = 0.0f;
        for (int row = first_row; row < end_row; row++) {
            int top, bottom;
            clip(row, h, kernel, stride, padding, top, bottom);
            for (int column = first_column; column < end_column; column++) {
                int left, right;
                clip(column, w, kernel, stride, padding, left, right);
                const float g = value(grad_y[((image * oh + row) * ow + column) * c + channel]);
                sum += g / ((bottom - top) * (right - left));
            }
        }
        put(&grad_x[i], sum);
    }
}
EXPORT(avg_pool2d_backward)
