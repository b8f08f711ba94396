// The solver's update. Weights and velocities are float whatever the gradient is; `copy`, if not null, gets the new
// weights as the type of the gradient.
KERNEL(sgd_update)(
    float* weight, float* velocity, const real* grad, real* copy, u32 count, u32 rate_in_velocity, float learning_rate,
    float momentum, float weight_decay) {
    FOR_EACH(i, count) {
        const float w = weight[i], g = value(grad[i]);
        float v = velocity[i], updated;
        if (rate_in_velocity) {
            v = momentum * v - weight_decay * learning_rate * w - learning_rate * g;
            updated = w + v;
        } else {
            v = momentum * v + (g + weight_decay * w);
            updated = w - learning_rate * v;
        }
        velocity[i] = v;
        weight[i] = updated;
        if (copy) put(&copy[i], updated);
    }
}
EXPORT(sgd_update)
