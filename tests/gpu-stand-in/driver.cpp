// The driver: memory, streams, events, and the kernels from the libraries that build.sh compiles from kernels.cu.

#include <deque>
#include <map>
#include <mutex>
#include <string>

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stand_in.h"

static std::recursive_mutex lock_;
#define LOCK std::lock_guard<std::recursive_mutex> guard(lock_)

struct CUstream_st {
    // Work that is not done yet; waiting for another stream is also a work item, which may be blocked.
    struct Work {
        std::function<void()> run;
        CUevent waits_for = nullptr;
        CUstream other = nullptr;
        uint64_t until = 0;
    };
    std::deque<Work> work;
    uint64_t queued = 0, done = 0;
    bool early = false, running = false;
};

struct CUevent_st {
    CUstream stream = nullptr;
    uint64_t until = 0;
};

static std::vector<CUstream>& streams() {
    static std::vector<CUstream> all;
    return all;
}

static CUstream stream_of(CUstream handle) {
    static CUstream_st standard;
    return reinterpret_cast<uintptr_t>(handle) <= 2 ? &standard : handle;
}

static void ensure(CUstream stream, uint64_t until);

static void run_next(CUstream stream) {
    if (stream->running) die("streams wait for each other");
    stream->running = true;
    CUstream_st::Work work = std::move(stream->work.front());
    stream->work.pop_front();
    if (work.other) ensure(work.other, work.until);
    if (work.run) work.run();
    stream->done++;
    stream->running = false;
}

// Runs the work of early streams as far as possible.
static void hurry() {
    for (CUstream stream : streams()) {
        while (stream->early && !stream->running && !stream->work.empty()) {
            const auto& next = stream->work.front();
            if (next.other && next.other->done < next.until) break;
            run_next(stream);
        }
    }
}

static void ensure(CUstream stream, uint64_t until) {
    while (stream->done < until) {
        run_next(stream);
        hurry();
    }
}

static void push(CUstream stream, CUstream_st::Work work) {
    stream->work.push_back(std::move(work));
    stream->queued++;
    hurry();
}

void enqueue(CUstream handle, std::function<void()> run) {
    LOCK;
    CUstream_st::Work work;
    work.run = std::move(run);
    push(stream_of(handle), std::move(work));
}

// The library compiled from kernels.cu for one of the two element types.
struct Kernels {
    int (*launch)(const char*, const unsigned*, const unsigned*, void**, const unsigned*, unsigned, int);
    int (*parameters)(const char*, unsigned*);
    explicit Kernels(const char* name) {
        Dl_info here;
        dladdr(reinterpret_cast<void*>(&enqueue), &here);
        const std::string file = here.dli_fname;
        const std::string path = file.substr(0, file.rfind('/') + 1) + name;
        void* library = dlopen(path.c_str(), RTLD_NOW);
        if (!library) die("cannot load", dlerror());
        launch = reinterpret_cast<decltype(launch)>(dlsym(library, "alexnet_launch"));
        parameters = reinterpret_cast<decltype(parameters)>(dlsym(library, "alexnet_parameters"));
        if (!launch || !parameters) die("not a library of our kernels:", path.c_str());
    }
};

struct CUmod_st {
    Kernels* kernels;
};
struct CUfunc_st {
    std::string name;
    Kernels* kernels;
    const CandleKernel* candle;
    std::vector<unsigned> sizes;
};

// Memory between guard pages, filled with NaNs.
struct Allocation {
    size_t bytes;
    bool host;
};
static std::map<uintptr_t, Allocation>& allocations() {
    static std::map<uintptr_t, Allocation> all;
    return all;
}
static size_t inside(size_t bytes) {
    const size_t page = sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}
static void* allocate(size_t bytes, bool host) {
    const size_t page = sysconf(_SC_PAGESIZE), size = inside(bytes);
    char* all = static_cast<char*>(mmap(nullptr, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (all == MAP_FAILED || mprotect(all + page, size, PROT_READ | PROT_WRITE)) die("out of memory");
    // As close to the end as an alignment of 16 bytes allows.
    char* at = all + page + (size - bytes) / 16 * 16;
    memset(at, 0xFF, bytes);
    LOCK;
    allocations()[reinterpret_cast<uintptr_t>(at)] = {bytes, host};
    return at;
}
static void release(uintptr_t at, bool host) {
    LOCK;
    const auto found = allocations().find(at);
    if (found == allocations().end() || found->second.host != host) die("only allocated memory may be freed");
    // Frees the pages; their addresses are not reused.
    const size_t size = inside(found->second.bytes);
    char* first = reinterpret_cast<char*>(at) - (size - found->second.bytes) / 16 * 16;
    mmap(first, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    allocations().erase(found);
}
// Whether this memory is pinned, so that the GPU accesses it directly when the copy runs.
static bool pinned(const void* at) {
    LOCK;
    const auto address = reinterpret_cast<uintptr_t>(at);
    auto next = allocations().upper_bound(address);
    if (next == allocations().begin()) return false;
    --next;
    return next->second.host && address < next->first + next->second.bytes;
}

static thread_local CUcontext current = nullptr;
#define API extern "C" CUresult
// For calls that require the GPU's context to be bound to the thread.
#define BOUND \
    if (!current) return CUDA_ERROR_INVALID_CONTEXT
API cuInit(unsigned) { return CUDA_SUCCESS; }
API cuDriverGetVersion(int* version) { return *version = CUDA_VERSION, CUDA_SUCCESS; }
API cuDeviceGetCount(int* count) { return *count = 1, CUDA_SUCCESS; }
API cuDeviceGet(CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; }
API cuDeviceGetName(char* name, int length, CUdevice) {
    snprintf(name, length, "stand-in");
    return CUDA_SUCCESS;
}
API cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 8; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 4; break;
    default: *value = 0;
    }
    return CUDA_SUCCESS;
}
API cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
    return *context = reinterpret_cast<CUcontext>(64), CUDA_SUCCESS;
}
API cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
API cuCtxDestroy_v2(CUcontext) { return CUDA_SUCCESS; }
API cuCtxGetCurrent(CUcontext* context) { return *context = current, CUDA_SUCCESS; }
API cuCtxSetCurrent(CUcontext context) { return current = context, CUDA_SUCCESS; }
API cuCtxSynchronize() {
    LOCK;
    for (CUstream stream : streams()) ensure(stream, stream->queued);
    ensure(stream_of(nullptr), stream_of(nullptr)->queued);
    return CUDA_SUCCESS;
}
API cuGetErrorString(CUresult error, const char** text) {
    *text = error == CUDA_ERROR_NOT_FOUND ? "the stand-in has no such kernel" : "an error of the stand-in";
    return CUDA_SUCCESS;
}

API cuStreamCreate(CUstream* stream, unsigned) {
    BOUND;
    LOCK;
    const char* copies = getenv("STAND_IN_COPIES");
    *stream = new CUstream_st;
    // The first stream is the one for computation.
    (*stream)->early = !streams().empty() && copies && !strcmp(copies, "early");
    streams().push_back(*stream);
    return CUDA_SUCCESS;
}
API cuStreamDestroy_v2(CUstream stream) {
    LOCK;
    ensure(stream, stream->queued);
    for (auto& other : streams())
        if (other == stream) {
            // Not deleted: events may still refer to it.
            std::swap(other, streams().back());
            streams().pop_back();
            break;
        }
    return CUDA_SUCCESS;
}
API cuStreamSynchronize(CUstream stream) {
    LOCK;
    ensure(stream_of(stream), stream_of(stream)->queued);
    return CUDA_SUCCESS;
}
API cuStreamIsCapturing(CUstream, CUstreamCaptureStatus* status) {
    return *status = CU_STREAM_CAPTURE_STATUS_NONE, CUDA_SUCCESS;
}
API cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    BOUND;
    LOCK;
    if (!event->stream) return CUDA_SUCCESS;
    CUstream_st::Work work;
    work.other = event->stream;
    work.until = event->until;
    push(stream_of(stream), std::move(work));
    return CUDA_SUCCESS;
}
API cuEventCreate(CUevent* event, unsigned) { return *event = new CUevent_st, CUDA_SUCCESS; }
API cuEventDestroy_v2(CUevent event) { return delete event, CUDA_SUCCESS; }
API cuEventRecord(CUevent event, CUstream stream) {
    BOUND;
    LOCK;
    *event = {stream_of(stream), stream_of(stream)->queued};
    return CUDA_SUCCESS;
}
API cuEventSynchronize(CUevent event) {
    LOCK;
    if (event->stream) ensure(event->stream, event->until);
    return CUDA_SUCCESS;
}

API cuMemGetInfo_v2(size_t* free, size_t* total) { return *free = *total = size_t(80) << 30, CUDA_SUCCESS; }
API cuMemAllocAsync(CUdeviceptr* at, size_t bytes, CUstream) {
    BOUND;
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    return *at = reinterpret_cast<CUdeviceptr>(allocate(bytes, false)), CUDA_SUCCESS;
}
API cuMemAlloc_v2(CUdeviceptr* at, size_t bytes) { return cuMemAllocAsync(at, bytes, nullptr); }
API cuMemFreeAsync(CUdeviceptr at, CUstream stream) {
    BOUND;
    enqueue(stream, [=] { release(at, false); });
    return CUDA_SUCCESS;
}
API cuMemFree_v2(CUdeviceptr at) {
    cuCtxSynchronize();
    return release(at, false), CUDA_SUCCESS;
}
API cuMemHostAlloc(void** at, size_t bytes, unsigned) {
    BOUND;
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    return *at = allocate(bytes, true), CUDA_SUCCESS;
}
API cuMemFreeHost(void* at) { return release(reinterpret_cast<uintptr_t>(at), true), CUDA_SUCCESS; }
API cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice) {
    return *pool = reinterpret_cast<CUmemoryPool>(64), CUDA_SUCCESS;
}
API cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute attribute, void* value) {
    const bool known = attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD && *static_cast<uint64_t*>(value) == UINT64_MAX;
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
    BOUND;
    if (pinned(from)) {
        enqueue(stream, [=] { memcpy(reinterpret_cast<void*>(to), from, bytes); });
    } else {
        // Pageable memory is read immediately.
        const char* first = static_cast<const char*>(from);
        std::vector<char> copy(first, first + bytes);
        enqueue(stream, [=] { memcpy(reinterpret_cast<void*>(to), copy.data(), bytes); });
    }
    return CUDA_SUCCESS;
}
API cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
    BOUND;
    enqueue(stream, [=] { memcpy(to, reinterpret_cast<void*>(from), bytes); });
    return pinned(to) ? CUDA_SUCCESS : cuStreamSynchronize(stream);
}
API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    BOUND;
    enqueue(stream, [=] { memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); });
    return CUDA_SUCCESS;
}
API cuMemcpyPeerAsync(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes, CUstream stream) {
    return cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
}
API cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t bytes, CUstream stream) {
    BOUND;
    enqueue(stream, [=] { memset(reinterpret_cast<void*>(at), value, bytes); });
    return CUDA_SUCCESS;
}

API cuModuleLoadData(CUmodule* module, const void* image) {
    BOUND;
    const char* text = static_cast<const char*>(image);
    static Kernels f32("kernels_f32.so"), bf16("kernels_bf16.so");
    const bool ours = strstr(text, ".entry sgd_update_copy");
    *module = new CUmod_st{!ours ? nullptr : strstr(text, "bf16") ? &bf16 : &f32};
    return CUDA_SUCCESS;
}
API cuModuleLoad(CUmodule*, const char*) { return CUDA_ERROR_FILE_NOT_FOUND; }
API cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
API cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    CUfunc_st found{name, module->kernels, nullptr, {}};
    if (found.kernels) {
        unsigned sizes[64];
        const int count = found.kernels->parameters(name, sizes);
        if (count < 0) return CUDA_ERROR_NOT_FOUND;
        found.sizes.assign(sizes, sizes + count);
    } else {
        found.candle = candle_kernel(name);
        if (!found.candle) {
            fprintf(stderr, "GPU stand-in: Candle's kernel %s is missing\n", name);
            return CUDA_ERROR_NOT_FOUND;
        }
        found.sizes = found.candle->sizes;
    }
    return *function = new CUfunc_st(found), CUDA_SUCCESS;
}
API cuLaunchKernel(
    CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
    CUstream stream, void** parameters, void**) {
    BOUND;
    if (!gx || !gy || !gz || bx * by * bz > 1024 || gy > 65535 || gz > 65535 || shared) return CUDA_ERROR_INVALID_VALUE;
    std::vector<uint64_t> values;
    for (size_t i = 0; i < function->sizes.size(); i++) {
        values.push_back(0);
        memcpy(&values.back(), parameters[i], function->sizes[i]);
    }
    enqueue(stream, [=]() mutable {
        std::vector<void*> pointers;
        for (auto& value : values) pointers.push_back(&value);
        if (function->candle) return function->candle->run(pointers.data());
        const unsigned grid[] = {gx, gy, gz}, threads[] = {bx, by, bz};
        const auto& sizes = function->sizes;
        const int wrong = function->kernels->launch(
            function->name.c_str(), grid, threads, pointers.data(), sizes.data(), sizes.size(), 0);
        if (wrong) die(wrong == 3 ? "all threads must reach each barrier in" : "cannot launch", function->name.c_str());
    });
    return CUDA_SUCCESS;
}
