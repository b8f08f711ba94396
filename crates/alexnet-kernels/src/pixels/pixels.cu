// Converts image bytes to the input of a network. `channels` has two bits for each output channel, the number of its
// input channel. Operations are rounded one by one, as on the CPU.
KERNEL(pixels)(
    const u8* x, const float* numbers, const float* mean, real* y, u32 count, u32 h, u32 w, u32 mean_h, u32 mean_w,
    u32 channels) {
    FOR_EACH(i, count) {
        const u32 c = i % 3, pixel = i / 3, j = pixel % w, row = pixel / w % h;
        const float* n = numbers + pixel / (h * w) * 11;
        const u32 column = n[9] != 0.0f ? w - 1 - j : j;
        const float byte = x[(pixel - j + column) * 3 + (channels >> 2 * c & 3)];
        float v = __fadd_rn(__fmul_rn(byte, n[c]), n[3 + c]);
        if (mean) {
            // Written so that NaN is outside.
            const bool inside = n[7] >= 0.0f && n[7] <= mean_w - w && n[8] >= 0.0f && n[8] <= mean_h - h;
            const u32 mean_column = n[10] != 0.0f ? w - 1 - j : j;
            const u32 at = inside ? (c * mean_h + u32(n[8]) + row) * mean_w + u32(n[7]) + mean_column : 0;
            v = inside ? __fsub_rn(v, __fdiv_rn(mean[at], n[6])) : NAN;
        }
        put(&y[i], v);
    }
}
EXPORT(pixels)
