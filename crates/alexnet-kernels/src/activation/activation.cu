// Units: mod.rs is the contract. The numbers of the units are those of `Activation` in cuda.rs.

KERNEL(activation_forward)(real* x, u32 count, u32 unit) {
    FOR_EACH(i, count) {
        const float v = value(x[i]);
        float y = v;
        switch (unit) {
        case 0: y = v <= 0.0f ? 0.0f : v; break; // A NaN stays one.
        case 1: y = tanhf(v); break;
        case 2: y = 1.0f / (1.0f + expf(-v)); break;
        case 3: y = v != v ? v : fmaxf(v, 0.0f) + log1pf(expf(-fabsf(v))); break;
        }
        put(&x[i], y);
    }
}
EXPORT(activation_forward)

KERNEL(activation_backward)(const real* y, real* grad, u32 count, u32 unit) {
    FOR_EACH(i, count) {
        const float v = value(y[i]);
        float slope = 0.0f;
        switch (unit) {
        case 0: slope = v > 0.0f ? 1.0f : 0.0f; break;
        case 1: slope = 1.0f - v * v; break;
        case 2: slope = v * (1.0f - v); break;
        case 3: slope = -expm1f(-v); break;
        }
        // Where ReLU is off, the gradient is 0 even if it was infinite before.
        put(&grad[i], unit == 0 && slope == 0.0f ? 0.0f : value(grad[i]) * slope);
    }
}
EXPORT(activation_backward)
