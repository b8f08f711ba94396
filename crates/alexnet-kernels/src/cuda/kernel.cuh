// Definitions shared by all kernels.
//
// Every kernel is compiled twice, once for each type of `real`, the element type of activations and gradients: float, or
// with REAL_BF16 bfloat16. Sums are accumulated in float. With ALEXNET_HOST a C++ compiler compiles the same files for the
// tests, which run them on machines without a GPU (host.h).
#pragma once

#ifdef ALEXNET_HOST
#include "host.h"
#else
#include <cuda_bf16.h>
#define EXPORT(name)
#endif

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef REAL_BF16
typedef __nv_bfloat16 real;
#else
typedef float real;
#endif

#define KERNEL(name) extern "C" __global__ void name

// Grid-stride loop over `count` values for a one-dimensional grid; `count` must be below 2^31.
#define FOR_EACH(i, count) \
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += gridDim.x * blockDim.x)

__device__ inline float value(float x) { return x; }
__device__ inline float value(u8 x) { return x; }
__device__ inline float value(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline void put(float* at, float x) { *at = x; }
__device__ inline void put(__nv_bfloat16* at, float x) { *at = __float2bfloat16_rn(x); }

// Number of neighboring channels per thread in vectorized kernels: 16 bytes of bf16. Threads must access this much at once
// to reach the full memory bandwidth of a GPU.
#define VECTOR 8

// N values in memory, moved in as few pieces of 16, 8 or 4 bytes as possible.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Packed {
    T v[N];
};

template <int N, class T>
__device__ inline void load(const T* at, float (&to)[N]) {
    const Packed<T, N> packed = *reinterpret_cast<const Packed<T, N>*>(at);
#pragma unroll
    for (int i = 0; i < N; i++) to[i] = value(packed.v[i]);
}

template <int N, class T>
__device__ inline void store(T* at, const float (&from)[N]) {
    Packed<T, N> packed;
#pragma unroll
    for (int i = 0; i < N; i++) put(&packed.v[i], from[i]);
    *reinterpret_cast<Packed<T, N>*>(at) = packed;
}

// Number of threads of a block in a reduction.
#define REDUCE_THREADS 256

// The sum, or with `largest` the maximum, over the block's REDUCE_THREADS threads, returned to all of them. The order of
// the additions is fixed.
__device__ inline float reduce_block(float x, bool largest, float* shared) {
    shared[threadIdx.x] = x;
    __syncthreads();
    for (u32 half = REDUCE_THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            const float a = shared[threadIdx.x], b = shared[threadIdx.x + half];
            shared[threadIdx.x] = largest ? fmaxf(a, b) : a + b;
        }
        __syncthreads();
    }
    const float result = shared[0];
    __syncthreads();
    return result;
}
