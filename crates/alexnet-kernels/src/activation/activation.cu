// Activations: mod.rs is the contract. The numbers of the units are those of `Activation` in cuda.rs. With `vector`, `count`
// values are whole vectors.

__device__ inline float activate(float v, u32 unit, float a, float b) {
    switch (unit) {
    case 0: return v <= 0.0f ? 0.0f : v; // A NaN stays one.
    case 1: return tanhf(v);
    case 2: return 1.0f / (1.0f + expf(-v));
    case 3: return v != v ? v : fmaxf(v, 0.0f) + log1pf(expf(-fabsf(v)));
    case 4: return fabsf(v);
    case 5: return v * v;
    case 6: return sqrtf(v);
    case 7: return a * tanhf(b * v);
    case 8: return v <= 0.0f ? 0.0f : v >= a ? a : v;
    case 9: return a * v + b;
    }
    return v;
}

template <int N>
__device__ void activate_values(const real* x, real* y, u32 count, u32 unit, float a, float b) {
    FOR_EACH(i, count / N) {
        float v[N];
        load(x + i * N, v);
#pragma unroll
        for (int j = 0; j < N; j++) v[j] = activate(v[j], unit, a, b);
        store(y + i * N, v);
    }
}

// `x` and `y` may be the same.
KERNEL(activation_forward)(const real* x, real* y, u32 count, u32 unit, float a, float b, u32 vector) {
    if (vector) activate_values<VECTOR>(x, y, count, unit, a, b);
    else activate_values<1>(x, y, count, unit, a, b);
}
EXPORT(activation_forward)

// The slope at what is kept: of units 4 and 5 the argument, of the others the result, which is at most `bound`.
__device__ inline float slope_at(float v, u32 unit, float a, float b, float bound) {
    switch (unit) {
    case 0: return v > 0.0f ? 1.0f : 0.0f;
    case 1: return 1.0f - v * v;
    case 2: return v * (1.0f - v);
    case 3: return -expm1f(-v);
    case 4: return v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : v; // A NaN stays one, and 0 is 0.
    case 5: return 2.0f * v;
    case 6: return 0.5f / v;
    case 7: return b / a * ((bound - v) * (bound + v));
    case 8: return v > 0.0f && v < bound ? 1.0f : 0.0f;
    case 9: return a;
    }
    return 1.0f;
}

template <int N>
__device__ void gradients(const real* kept, real* grad, u32 count, u32 unit, float a, float b) {
    // Results are rounded, and so is the largest of them.
    real rounded;
    put(&rounded, a);
    const float bound = value(rounded);
    // Where a unit is off, the gradient is 0 even if it was infinite before.
    const bool may_be_off = unit == 0 || unit == 4 || unit == 8;
    FOR_EACH(i, count / N) {
        float v[N], g[N];
        load(kept + i * N, v);
        load(grad + i * N, g);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float slope = slope_at(v[j], unit, a, b, bound);
            g[j] = may_be_off && slope == 0.0f ? 0.0f : g[j] * slope;
        }
        store(grad + i * N, g);
    }
}

KERNEL(activation_backward)(const real* kept, real* grad, u32 count, u32 unit, float a, float b, u32 vector) {
    if (vector) gradients<VECTOR>(kept, grad, count, unit, a, b);
    else gradients<1>(kept, grad, count, unit, a, b);
}
EXPORT(activation_backward)
