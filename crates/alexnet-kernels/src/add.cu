// Sums in place.

KERNEL(accumulate)(const real* x, real* sum, u32 count) {
    FOR_EACH(i, count) { put(&sum[i], value(sum[i]) + value(x[i])); }
}
EXPORT(accumulate)

KERNEL(scale)(const real* x, real* y, u32 count, float factor) {
    FOR_EACH(i, count) { put(&y[i], factor * value(x[i])); }
}
EXPORT(scale)

// From float, and to it: the same, or a change of precision.
KERNEL(scale_from_f32)(const float* x, real* y, u32 count, float factor) {
    FOR_EACH(i, count) { put(&y[i], factor * x[i]); }
}
EXPORT(scale_from_f32)

KERNEL(scale_to_f32)(const real* x, float* y, u32 count, float factor) {
    FOR_EACH(i, count) { y[i] = factor * value(x[i]); }
}
EXPORT(scale_to_f32)

KERNEL(set_zero)(float* y, u32 count) {
    FOR_EACH(i, count) { y[i] = 0.0f; }
}
EXPORT(set_zero)
