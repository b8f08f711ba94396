// NVIDIA's libraries in CPU memory, for tests: queued work runs only when something waits for it, as late as the rules
// allow; optionally copies run as early as allowed (README.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include <cuda.h>

// Adds work to a stream.
void enqueue(CUstream stream, std::function<void()> work);

// A kernel of Candle: the sizes of its parameters in bytes, and its implementation.
struct CandleKernel {
    std::vector<unsigned> sizes;
    std::function<void(void**)> run;
};
// Returns nullptr if there is no kernel of this name.
const CandleKernel* candle_kernel(const char* name);

[[noreturn]] inline void die(const char* what, const char* more = "") {
    fprintf(stderr, "GPU stand-in: %s %s\n", what, more);
    abort();
}

inline float from_bf16(uint16_t bits) {
    const uint32_t word = uint32_t(bits) << 16;
    float value;
    memcpy(&value, &word, 4);
    return value;
}

inline uint16_t to_bf16(float value) {
    uint32_t word;
    memcpy(&word, &value, 4);
    return value != value ? 0x7FFF : (word + 0x7FFF + (word >> 16 & 1)) >> 16;
}

// An element of a matrix or an image, in bf16 or f32.
inline double get(const void* at, bool bf16, size_t i) {
    return bf16 ? from_bf16(static_cast<const uint16_t*>(at)[i]) : static_cast<const float*>(at)[i];
}

inline void put(void* at, bool bf16, size_t i, double value) {
    if (bf16) {
        static_cast<uint16_t*>(at)[i] = to_bf16(float(value));
    } else {
        static_cast<float*>(at)[i] = float(value);
    }
}
