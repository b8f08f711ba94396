// The solver's update. Weights and velocities are float, whatever the gradient is.

struct Sgd {
    u32 rate_in_velocity;
    float learning_rate, momentum, weight_decay;
};

// Updates one value and returns it.
__device__ inline float sgd_step(float* weight, float* velocity, float g, const Sgd& sgd) {
    const float w = *weight;
    float v = *velocity, updated;
    if (sgd.rate_in_velocity) {
        v = sgd.momentum * v - sgd.weight_decay * sgd.learning_rate * w - sgd.learning_rate * g;
        updated = w + v;
    } else {
        v = sgd.momentum * v + (g + sgd.weight_decay * w);
        updated = w - sgd.learning_rate * v;
    }
    *velocity = v;
    return *weight = updated;
}

KERNEL(sgd_update)(
    float* weight, float* velocity, const real* grad, u32 count, u32 rate_in_velocity, float learning_rate,
    float momentum, float weight_decay) {
    const Sgd sgd = {rate_in_velocity, learning_rate, momentum, weight_decay};
    FOR_EACH(i, count) { sgd_step(&weight[i], &velocity[i], value(grad[i]), sgd); }
}
EXPORT(sgd_update)

// The same from a gradient in float, with the new weights in a copy of the other type.
KERNEL(sgd_update_copy)(
    float* weight, float* velocity, const float* grad, real* copy, u32 count, u32 rate_in_velocity,
    float learning_rate, float momentum, float weight_decay) {
    const Sgd sgd = {rate_in_velocity, learning_rate, momentum, weight_decay};
    FOR_EACH(i, count) { put(&copy[i], sgd_step(&weight[i], &velocity[i], grad[i], sgd)); }
}
EXPORT(sgd_update_copy)
