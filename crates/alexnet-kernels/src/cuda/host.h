// Emulates on the CPU the parts of a GPU that these kernels use: blocks run one after the other, the threads of a block as
// coroutines that run from barrier to barrier. For tests; cuda/host.rs is the caller.
#pragma once

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define __global__
#define __device__
#define __shared__ static thread_local

struct Index {
    unsigned x, y, z;
};
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

using std::max;
using std::min;
template <class A, class B>
auto min(A a, B b) -> decltype(a + b) { return a < b ? a : b; }
template <class A, class B>
auto max(A a, B b) -> decltype(a + b) { return a < b ? b : a; }

// Rounds to nearest, ties to even, as the GPU does.
struct __nv_bfloat16 {
    uint16_t bits;
    __nv_bfloat16() = default;
    explicit __nv_bfloat16(float x) {
        uint32_t word;
        memcpy(&word, &x, 4);
        bits = x != x ? 0x7FFF : (word + 0x7FFF + (word >> 16 & 1)) >> 16;
    }
};
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
inline float __bfloat162float(__nv_bfloat16 x) {
    const uint32_t word = uint32_t(x.bits) << 16;
    float value;
    memcpy(&value, &word, 4);
    return value;
}

// A block: its threads, each with a stack. A thread is started once and then runs one kernel after the other, so that
// switching to the next kernel costs no system call.
struct Thread {
    static constexpr size_t STACK = 64 * 1024;
    std::vector<char> stack = std::vector<char>(STACK);
    jmp_buf here;
    Index index;
    bool started = false, done = false;
};
struct Block {
    std::deque<Thread> threads;
    jmp_buf scheduler;
    Thread* running = nullptr;
    void (*kernel)(void**) = nullptr;
    void** arguments = nullptr;
};
static thread_local Block block;

// Switches from a thread to the scheduler.
static void yield() {
    if (!_setjmp(block.running->here)) _longjmp(block.scheduler, 1);
}

static void live() {
    for (;;) {
        block.kernel(block.arguments);
        block.running->done = true;
        yield();
    }
}

inline void __syncthreads() { yield(); }

static void resume(Thread& thread) {
    block.running = &thread;
    threadIdx = thread.index;
    if (_setjmp(block.scheduler)) return;
    if (thread.started) _longjmp(thread.here, 1);
    thread.started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = thread.stack.data();
    context.uc_stack.ss_size = Thread::STACK;
    context.uc_link = nullptr;
    makecontext(&context, live, 0);
    setcontext(&context);
}

// Runs the threads of a block, in ascending or descending order. Returns false if some threads waited at a barrier after
// others had ended.
static bool run_block(unsigned count, bool reversed) {
    while (block.threads.size() < count) block.threads.emplace_back();
    for (unsigned i = 0; i < count; i++) {
        block.threads[i].index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        block.threads[i].done = false;
    }
    for (;;) {
        unsigned waiting = 0, done = 0;
        for (unsigned i = 0; i < count; i++) {
            Thread& thread = block.threads[reversed ? count - 1 - i : i];
            if (!thread.done) resume(thread);
            thread.done ? done++ : waiting++;
        }
        if (waiting == 0) return true;
        if (done != 0) return false;
    }
}

// Each operation is rounded separately: the C++ compiler targets a CPU without fused operations.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }

// The kernels by name, with the sizes of their parameters in bytes.
struct Kernel {
    void (*call)(void**);
    std::vector<unsigned> sizes;
};
static std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}
template <auto F>
struct Export;
template <class... P, void (*F)(P...)>
struct Export<F> {
    template <size_t... I>
    static void unpack(void** a, std::index_sequence<I...>) { F(*static_cast<P*>(a[I])...); }
    static void call(void** a) { unpack(a, std::index_sequence_for<P...>()); }
    explicit Export(const char* name) { kernels()[name] = {call, {sizeof(P)...}}; }
};
#define EXPORT(name) static Export<name> export_##name(#name);

static thread_local const char* current = nullptr;
static void left_its_buffers(int) {
    if (current) {
        fprintf(stderr, "kernel %s reads or writes beyond a buffer, block (%u, %u, %u), thread (%u, %u, %u)\n", current,
                blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    }
    signal(SIGSEGV, SIG_DFL);
}

// Returns 0, or an error: 1 unknown kernel, 2 wrong parameters, 3 a barrier that not all threads reach.
extern "C" int alexnet_launch(
    const char* name, const unsigned grid[3], const unsigned threads[3], void** arguments, const unsigned* sizes,
    unsigned count, int reversed) {
    const auto found = kernels().find(name);
    if (found == kernels().end()) return 1;
    if (found->second.sizes != std::vector<unsigned>(sizes, sizes + count)) return 2;
    current = found->first.c_str();
    signal(SIGSEGV, left_its_buffers);
    block.kernel = found->second.call;
    block.arguments = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads[0], threads[1], threads[2]};
    const unsigned blocks = grid[0] * grid[1] * grid[2];
    for (unsigned b = 0; b < blocks; b++) {
        const unsigned i = reversed ? blocks - 1 - b : b;
        blockIdx = {i % grid[0], i / grid[0] % grid[1], i / grid[0] / grid[1]};
        if (!run_block(threads[0] * threads[1] * threads[2], reversed)) return 3;
    }
    current = nullptr;
    return 0;
}

// Returns the number of parameters of a kernel and their sizes; -1 if the kernel is unknown.
extern "C" int alexnet_parameters(const char* name, unsigned* sizes) {
    const auto found = kernels().find(name);
    if (found == kernels().end()) return -1;
    std::copy(found->second.sizes.begin(), found->second.sizes.end(), sizes);
    return int(found->second.sizes.size());
}

// Allocates a buffer that ends at the start of a guard page and begins, if its size allows, at the end of another.
extern "C" void* alexnet_allocate(size_t bytes) {
    const size_t page = sysconf(_SC_PAGESIZE), inside = (bytes + page - 1) / page * page;
    char* all = static_cast<char*>(mmap(nullptr, inside + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (all == MAP_FAILED || (inside && mprotect(all + page, inside, PROT_READ | PROT_WRITE))) return nullptr;
    return all + page + inside - bytes;
}

extern "C" void alexnet_free(void* buffer, size_t bytes) {
    const size_t page = sysconf(_SC_PAGESIZE), inside = (bytes + page - 1) / page * page;
    munmap(static_cast<char*>(buffer) + bytes - inside - page, inside + 2 * page);
}
