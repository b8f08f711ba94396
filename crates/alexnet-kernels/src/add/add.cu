// In-place sums. With `vector`, `count` is a multiple of VECTOR.

template <int N>
__device__ void accumulate_values(const real* x, real* sum, u32 count) {
    FOR_EACH(i, count / N) {
        float a[N], b[N];
        load(x + i * N, a);
        load(sum + i * N, b);
#pragma unroll
        for (int j = 0; j < N; j++) b[j] += a[j];
        store(sum + i * N, b);
    }
}

KERNEL(accumulate)(const real* x, real* sum, u32 count, u32 vector) {
    if (vector) accumulate_values<VECTOR>(x, sum, count);
    else accumulate_values<1>(x, sum, count);
}
EXPORT(accumulate)

template <int N, class X, class Y>
__device__ void scale_values(const X* x, Y* y, u32 count, float factor) {
    FOR_EACH(i, count / N) {
        float v[N];
        load(x + i * N, v);
#pragma unroll
        for (int j = 0; j < N; j++) v[j] *= factor;
        store(y + i * N, v);
    }
}

KERNEL(scale)(const real* x, real* y, u32 count, float factor, u32 vector) {
    if (vector) scale_values<VECTOR>(x, y, count, factor);
    else scale_values<1>(x, y, count, factor);
}
EXPORT(scale)

// From and to float: `scale` with a conversion where `real` is another type.
KERNEL(scale_from_f32)(const float* x, real* y, u32 count, float factor, u32 vector) {
    if (vector) scale_values<VECTOR>(x, y, count, factor);
    else scale_values<1>(x, y, count, factor);
}
EXPORT(scale_from_f32)

KERNEL(scale_to_f32)(const real* x, float* y, u32 count, float factor, u32 vector) {
    if (vector) scale_values<VECTOR>(x, y, count, factor);
    else scale_values<1>(x, y, count, factor);
}
EXPORT(scale_to_f32)

KERNEL(set_zero)(float* y, u32 count) {
    FOR_EACH(i, count) { y[i] = 0.0f; }
}
EXPORT(set_zero)
