// Sums in place.

KERNEL(accumulate)(const real* x, real* sum, u32 count) {
    FOR_EACH(i, count) { put(&sum[i], value(sum[i]) + value(x[i])); }
}
EXPORT(accumulate)

KERNEL(scale)(const real* x, real* y, u32 count, float factor) {
    FOR_EACH(i, count) { put(&y[i], factor * value(x[i])); }
}
EXPORT(scale)
