// Units: mod.rs is the contract. The numbers of the units are those of `Activation` in cuda.rs.

// `x` and `y` may be the same.
KERNEL(activation_forward)(const real* x, real* y, u32 count, u32 unit, float a, float b) {
    FOR_EACH(i, count) {
        const float v = value(x[i]);
        float r = v;
        switch (unit) {
        case 0: r = v <= 0.0f ? 0.0f : v; break; // A NaN stays one.
        case 1: r = tanhf(v); break;
        case 2: r = 1.0f / (1.0f + expf(-v)); break;
        case 3: r = v != v ? v : fmaxf(v, 0.0f) + log1pf(expf(-fabsf(v))); break;
        case 4: r = fabsf(v); break;
        case 5: r = v * v; break;
        case 6: r = sqrtf(v); break;
        case 7: r = a * tanhf(b * v); break;
        case 8: r = v <= 0.0f ? 0.0f : v >= a ? a : v; break;
        case 9: r = a * v + b; break;
        }
        put(&y[i], r);
    }
}
EXPORT(activation_forward)

// Of units 4 and 5 `kept` is the argument, of the others the result.
KERNEL(activation_backward)(const real* kept, real* grad, u32 count, u32 unit, float a, float b) {
    FOR_EACH(i, count) {
        const float v = value(kept[i]);
        // Results are rounded, and so is the largest of them.
        real rounded;
        put(&rounded, a);
        const float bound = value(rounded);
        float slope = 0.0f;
        switch (unit) {
        case 0: slope = v > 0.0f ? 1.0f : 0.0f; break;
        case 1: slope = 1.0f - v * v; break;
        case 2: slope = v * (1.0f - v); break;
        case 3: slope = -expm1f(-v); break;
        case 4: slope = v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : v; break; // A NaN stays one, and 0 is 0.
        case 5: slope = 2.0f * v; break;
        case 6: slope = 0.5f / v; break;
        case 7: slope = b / a * ((bound - v) * (bound + v)); break;
        case 8: slope = v > 0.0f && v < bound ? 1.0f : 0.0f; break;
        case 9: slope = a; break;
        }
        // Where a unit is off, the gradient is 0 even if it was infinite before.
        const bool off = slope == 0.0f && (unit == 0 || unit == 4 || unit == 8);
        put(&grad[i], off ? 0.0f : value(grad[i]) * slope);
    }
}
EXPORT(activation_backward)
