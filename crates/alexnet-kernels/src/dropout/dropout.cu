// Dropout with a mask from the Philox4x32-10 stream of crate alexnet-random, the same as on the CPU.

// The four words of block `counter`: Salmon et al. 2011, table 2 and section 3.3.
__device__ inline void philox(u32 counter[4], u32 key_low, u32 key_high) {
    for (int round = 0; round < 10; round++) {
        const u64 a = u64(0xD2511F53u) * counter[0], b = u64(0xCD9E8D57u) * counter[2];
        const u32 second = u32(b), fourth = u32(a);
        counter[0] = u32(b >> 32) ^ counter[1] ^ key_low;
        counter[2] = u32(a >> 32) ^ counter[3] ^ key_high;
        counter[1] = second;
        counter[3] = fourth;
        key_low += 0x9E3779B9u;
        key_high += 0xBB67AE85u;
    }
}

// Keeps the values whose 24-bit random number is below `threshold`, multiplied by `factor`.
KERNEL(dropout)(
    const real* x, real* y, u32 count, u32 threshold, float factor, u32 key_low, u32 key_high, u32 layer, u32 step,
    u32 purpose, u32 first, u32 skipped, u32 blocks) {
    FOR_EACH(block, blocks) {
        u32 words[4] = {first + block, layer, step, purpose};
        philox(words, key_low, key_high);
        for (u32 word = 0; word < 4; word++) {
            // Before the first value this is a large number.
            const u32 i = 4 * block + word - skipped;
            if (i < count) put(&y[i], words[word] >> 8 < threshold ? value(x[i]) * factor : 0.0f);
        }
    }
}
EXPORT(dropout)
