// Response normalisation within each channel of channels-last images, over squares of pixels.

// Rows and columns of the square around a pixel, clipped to the image.
struct Square {
    int top, bottom, left, right;
};

__device__ inline Square square_at(int row, int column, int h, int w, int before, int after) {
    return {max(row - before, 0), min(row + after + 1, h), max(column - before, 0), min(column + after + 1, w)};
}

__device__ inline float square_denominator(
    const real* plane, Square s, int w, int c, float k, float alpha) {
    float sum = 0.0f;
    for (int row = s.top; row < s.bottom; row++)
        for (int column = s.left; column < s.right; column++) {
            const float v = value(plane[(row * w + column) * c]);
            sum += v * v;
        }
    return k + alpha * sum;
}

KERNEL(lrn_same_map_forward)(
    const real* x, real* y, u32 count, int h, int w, int c, int size, float k, float alpha, float beta) {
    FOR_EACH(i, count) {
        const u32 pixel = i / c, channel = i % c;
        const real* plane = x + pixel / (h * w) * (h * w * c) + channel;
        const Square s = square_at(pixel / w % h, pixel % w, h, w, size / 2, size - 1 - size / 2);
        put(&y[i], value(x[i]) * inverse_power(square_denominator(plane, s, w, c, k, alpha), beta));
    }
}
EXPORT(lrn_same_map_forward)

// First half of backward: grad_y*D^-beta into `grad_x`, and g*y/D into `terms`.
KERNEL(lrn_same_map_terms)(
    const real* x, const real* grad_y, real* grad_x, float* terms, u32 count, int h, int w, int c, int size, float k,
    float alpha, float beta) {
    FOR_EACH(i, count) {
        const u32 pixel = i / c, channel = i % c;
        const real* plane = x + pixel / (h * w) * (h * w * c) + channel;
        const Square s = square_at(pixel / w % h, pixel % w, h, w, size / 2, size - 1 - size / 2);
        const float d = square_denominator(plane, s, w, c, k, alpha);
        const float scaled = value(grad_y[i]) * inverse_power(d, beta);
        put(&grad_x[i], scaled);
        terms[i] = scaled * value(x[i]) / d;
    }
}
EXPORT(lrn_same_map_terms)

// Second half: the terms of all squares that hold a pixel, which lie in its mirrored square.
KERNEL(lrn_same_map_backward)(
    const real* x, const float* terms, real* grad_x, u32 count, int h, int w, int c, int size, float alpha, float beta) {
    FOR_EACH(i, count) {
        const u32 pixel = i / c, channel = i % c;
        const float* plane = terms + pixel / (h * w) * (h * w * c) + channel;
        const Square s = square_at(pixel / w % h, pixel % w, h, w, size - 1 - size / 2, size / 2);
        float sum = 0.0f;
        for (int row = s.top; row < s.bottom; row++)
            for (int column = s.left; column < s.right; column++) sum += plane[(row * w + column) * c];
        put(&grad_x[i], value(grad_x[i]) - 2.0f * alpha * beta * value(x[i]) * sum);
    }
}
EXPORT(lrn_same_map_backward)
