// Activations: mod.rs is the contract. The numbers of the units are those of `Activation` in cuda.rs. With `vector`, `count`
// values are whole vectors.

__device__ inline float activate(float v, u32 unit) {
    switch (unit) {
    case 0: return v <= 0.0f ? 0.0f : v; // A NaN stays one.
    case 1: return tanhf(v);
    case 2: return 1.0f / (1.0f + expf(-v));
    case 3: return v != v ? v : fmaxf(v, 0.0f) + log1pf(expf(-fabsf(v)));
    }
    return v;
}

template <int N>
__device__ void activate_values(real* x, u32 count, u32 unit) {
    FOR_EACH(i, count / N) {
        float v[N];
        load(x + i * N, v);
#pragma unroll
        for (int j = 0; j < N; j++) v[j] = activate(v[j], unit);
        store(x + i * N, v);
    }
}

KERNEL(activation_forward)(real* x, u32 count, u32 unit, u32 vector) {
    if (vector) activate_values<VECTOR>(x, count, unit);
    else activate_values<1>(x, count, unit);
}
EXPORT(activation_forward)

// The gradient `g` of the result `y` as that of what it was computed from.
__device__ inline float gradient_of(float y, float g, u32 unit) {
    switch (unit) {
    case 0: return y > 0.0f ? g : 0.0f; // Where ReLU is off, also if `g` is infinite.
    case 1: return g * (1.0f - y * y);
    case 2: return g * (y * (1.0f - y));
    case 3: return g * -expm1f(-y);
    }
    return g;
}

template <int N>
__device__ void gradients(const real* y, real* grad, u32 count, u32 unit) {
    FOR_EACH(i, count / N) {
        float v[N], g[N];
        load(y + i * N, v);
        load(grad + i * N, g);
#pragma unroll
        for (int j = 0; j < N; j++) g[j] = gradient_of(v[j], g[j], unit);
        store(grad + i * N, g);
    }
}

KERNEL(activation_backward)(const real* y, real* grad, u32 count, u32 unit, u32 vector) {
    if (vector) gradients<VECTOR>(y, grad, count, unit);
    else gradients<1>(y, grad, count, unit);
}
EXPORT(activation_backward)
