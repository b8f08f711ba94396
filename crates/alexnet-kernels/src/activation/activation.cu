// Activations, as specified in mod.rs. `kind` is the number of the `Activation` in cuda.rs. With `vector`, `count` is a
// multiple of VECTOR.

__device__ inline float activate(float v, u32 kind, float a, float b) {
    switch (kind) {
    case 0: return v <= 0.0f ? 0.0f : v; // NaN stays NaN.
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
__device__ void activate_values(const real* x, real* y, u32 count, u32 kind, float a, float b) {
    FOR_EACH(i, count / N) {
        float v[N];
        load(x + i * N, v);
#pragma unroll
        for (int j = 0; j < N; j++) v[j] = activate(v[j], kind, a, b);
        store(y + i * N, v);
    }
}

// `x` and `y` may be the same.
KERNEL(activation_forward)(const real* x, real* y, u32 count, u32 kind, float a, float b, u32 vector) {
    if (vector) activate_values<VECTOR>(x, y, count, kind, a, b);
    else activate_values<1>(x, y, count, kind, a, b);
}
EXPORT(activation_forward)

// The derivative at the kept value: the input for kinds 4 and 5, the output for all others. `bound` is the largest
// output.
__device__ inline float slope_at(float v, u32 kind, float a, float b, float bound) {
    switch (kind) {
    case 0: return v > 0.0f ? 1.0f : 0.0f;
    case 1: return 1.0f - v * v;
    case 2: return v * (1.0f - v);
    case 3: return -expm1f(-v);
    case 4: return v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : v; // NaN stays NaN, and the slope at 0 is 0.
    case 5: return 2.0f * v;
    case 6: return 0.5f / v;
    case 7: return b / a * ((bound - v) * (bound + v));
    case 8: return v > 0.0f && v < bound ? 1.0f : 0.0f;
    case 9: return a;
    }
    return 1.0f;
}

template <int N>
__device__ void gradients(const real* kept, real* grad, u32 count, u32 kind, float a, float b) {
    // Outputs are rounded to `real`, and so is the largest output.
    real rounded;
    put(&rounded, a);
    const float bound = value(rounded);
    // Where an activation is off, the gradient is 0 even if the incoming gradient is infinite.
    const bool may_be_off = kind == 0 || kind == 4 || kind == 8;
    FOR_EACH(i, count / N) {
        float v[N], g[N];
        load(kept + i * N, v);
        load(grad + i * N, g);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float slope = slope_at(v[j], kind, a, b, bound);
            g[j] = may_be_off && slope == 0.0f ? 0.0f : g[j] * slope;
        }
        store(grad + i * N, g);
    }
}

KERNEL(activation_backward)(const real* kept, real* grad, u32 count, u32 kind, float a, float b, u32 vector) {
    if (vector) gradients<VECTOR>(kept, grad, count, kind, a, b);
    else gradients<1>(kept, grad, count, kind, a, b);
}
EXPORT(activation_backward)
