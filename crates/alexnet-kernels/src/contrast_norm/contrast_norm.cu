// Contrast normalization within each channel of channels-last images, over squares of pixels.

// The row and column of value `i`, and where the values of its channel begin.
struct Place {
    u32 plane;
    int row, column;
};

__device__ inline Place place_of(u32 i, int h, int w, int c) {
    const u32 pixel = i / c;
    return {pixel / (h * w) * (h * w * c) + i % c, int(pixel / w % h), int(pixel % w)};
}

template <class T>
__device__ inline float square_sum(const T* plane, Square s, int w, int c) {
    float sum = 0.0f;
    for (int row = s.top; row < s.bottom; row++)
        for (int column = s.left; column < s.right; column++) sum += value(plane[(row * w + column) * c]);
    return sum;
}

__device__ inline float area_of(Square s) { return float(s.bottom - s.top) * float(s.right - s.left); }

// x minus the mean of the square around it.
KERNEL(contrast_norm_deviations)(const real* x, float* deviations, u32 count, int h, int w, int c, int size) {
    FOR_EACH(i, count) {
        const Place p = place_of(i, h, w, c);
        const Square s = square_at(p.row, p.column, h, w, size / 2, size - 1 - size / 2);
        deviations[i] = value(x[i]) - square_sum(x + p.plane, s, w, c) / area_of(s);
    }
}
EXPORT(contrast_norm_deviations)

__device__ inline float contrast_denominator(
    const float* deviations, u32 i, int h, int w, int c, int size, float alpha) {
    const Place p = place_of(i, h, w, c);
    const Square s = square_at(p.row, p.column, h, w, size / 2, size - 1 - size / 2);
    const float* plane = deviations + p.plane;
    float sum = 0.0f;
    for (int row = s.top; row < s.bottom; row++)
        for (int column = s.left; column < s.right; column++) {
            const float d = plane[(row * w + column) * c];
            sum += d * d;
        }
    return 1.0f + alpha * sum;
}

KERNEL(contrast_norm_forward)(
    const real* x, const float* deviations, real* y, u32 count, int h, int w, int c, int size, float alpha, float beta) {
    FOR_EACH(i, count) {
        const float d = contrast_denominator(deviations, i, h, w, c, size, alpha);
        put(&y[i], value(x[i]) * inverse_power(d, beta));
    }
}
EXPORT(contrast_norm_forward)

// grad_y*D^-beta into `scaled`, and g*y/D into `terms`.
KERNEL(contrast_norm_terms)(
    const real* x, const real* grad_y, const float* deviations, float* terms, float* scaled, u32 count, int h, int w,
    int c, int size, float alpha, float beta) {
    FOR_EACH(i, count) {
        const float d = contrast_denominator(deviations, i, h, w, c, size, alpha);
        const float g = value(grad_y[i]) * inverse_power(d, beta);
        scaled[i] = g;
        terms[i] = g * value(x[i]) / d;
    }
}
EXPORT(contrast_norm_terms)

// The gradients of the deviations, which overwrite the deviations: the squares that contain a pixel are centered in its
// mirrored square, where their terms are summed.
KERNEL(contrast_norm_slopes)(
    float* deviations, const float* terms, u32 count, int h, int w, int c, int size, float alpha, float beta) {
    FOR_EACH(i, count) {
        const Place p = place_of(i, h, w, c);
        const Square s = square_at(p.row, p.column, h, w, size - 1 - size / 2, size / 2);
        deviations[i] *= -2.0f * alpha * beta * square_sum(terms + p.plane, s, w, c);
    }
}
EXPORT(contrast_norm_slopes)

// Adds up the gradient and subtracts the part through the means of the squares that contain a pixel.
KERNEL(contrast_norm_backward)(
    const float* slopes, const float* scaled, real* grad_x, u32 count, int h, int w, int c, int size) {
    FOR_EACH(i, count) {
        const Place p = place_of(i, h, w, c);
        const int before = size / 2, after = size - 1 - size / 2;
        const Square s = square_at(p.row, p.column, h, w, after, before);
        float sum = 0.0f;
        for (int row = s.top; row < s.bottom; row++)
            for (int column = s.left; column < s.right; column++)
                sum += slopes[p.plane + (row * w + column) * c] / area_of(square_at(row, column, h, w, before, after));
        put(&grad_x[i], scaled[i] + slopes[i] - sum);
    }
}
EXPORT(contrast_norm_backward)
