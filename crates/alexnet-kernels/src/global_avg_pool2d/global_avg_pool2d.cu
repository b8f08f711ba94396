// Means of the channels of channels-last images over all their pixels.

KERNEL(global_avg_pool2d_forward)(const real* x, real* y, u32 count, u32 pixels, u32 c) {
    FOR_EACH(i, count) {
        const real* plane = x + i / c * (pixels * c) + i % c;
        float sum = 0.0f;
        for (u32 pixel = 0; pixel < pixels; pixel++) sum += value(plane[pixel * c]);
        put(&y[i], sum / pixels);
    }
}
EXPORT(global_avg_pool2d_forward)

KERNEL(global_avg_pool2d_backward)(const real* grad_y, real* grad_x, u32 count, u32 pixels, u32 c) {
    FOR_EACH(i, count) put(&grad_x[i], value(grad_y[i / (pixels * c) * c + i % c]) / pixels);
}
EXPORT(global_avg_pool2d_backward)
