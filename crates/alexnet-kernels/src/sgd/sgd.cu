// The optimizer update. Weights and velocities are float for every type of gradient.

struct Sgd {
    u32 rate_in_velocity;
    float learning_rate, momentum, weight_decay;
};

template <int N>
__device__ inline void sgd_step(float* weight, float* velocity, const float (&g)[N], const Sgd& sgd, float (&w)[N]) {
    float v[N];
    load(weight, w);
    load(velocity, v);
#pragma unroll
    for (int j = 0; j < N; j++) {
        if (sgd.rate_in_velocity) {
            v[j] = sgd.momentum * v[j] - sgd.weight_decay * sgd.learning_rate * w[j] - sgd.learning_rate * g[j];
            w[j] = w[j] + v[j];
        } else {
            v[j] = sgd.momentum * v[j] + (g[j] + sgd.weight_decay * w[j]);
            w[j] = w[j] - sgd.learning_rate * v[j];
        }
    }
    store(velocity, v);
    store(weight, w);
}

template <int N>
__device__ void sgd_values(float* weight, float* velocity, const real* grad, u32 count, const Sgd& sgd) {
    FOR_EACH(i, count / N) {
        float g[N], w[N];
        load(grad + i * N, g);
        sgd_step(weight + i * N, velocity + i * N, g, sgd, w);
    }
}

template <int N>
__device__ void sgd_values_and_copy(
    float* weight, float* velocity, const float* grad, real* copy, u32 count, const Sgd& sgd) {
    FOR_EACH(i, count / N) {
        float g[N], w[N];
        load(grad + i * N, g);
        sgd_step(weight + i * N, velocity + i * N, g, sgd, w);
        store(copy + i * N, w);
    }
}

// With `vector`, `count` is a multiple of VECTOR.
KERNEL(sgd_update)(
    float* weight, float* velocity, const real* grad, u32 count, u32 rate_in_velocity, float learning_rate,
    float momentum, float weight_decay, u32 vector) {
    const Sgd sgd = {rate_in_velocity, learning_rate, momentum, weight_decay};
    if (vector) sgd_values<VECTOR>(weight, velocity, grad, count, sgd);
    else sgd_values<1>(weight, velocity, grad, count, sgd);
}
EXPORT(sgd_update)

// The same update from a float gradient, which also writes the new weights to a copy of type `real`.
KERNEL(sgd_update_copy)(
    float* weight, float* velocity, const float* grad, real* copy, u32 count, u32 rate_in_velocity,
    float learning_rate, float momentum, float weight_decay, u32 vector) {
    const Sgd sgd = {rate_in_velocity, learning_rate, momentum, weight_decay};
    if (vector) sgd_values_and_copy<VECTOR>(weight, velocity, grad, copy, count, sgd);
    else sgd_values_and_copy<1>(weight, velocity, grad, copy, count, sgd);
}
EXPORT(sgd_update_copy)
