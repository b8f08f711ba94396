// The kernels of Candle that the tests and the training need.

#include <map>
#include <string>

#include "stand_in.h"

template <class T>
static T parameter(void** p, int i) {
    T value;
    memcpy(&value, p[i], sizeof(T));
    return value;
}

struct Bf16 {
    uint16_t bits;
};
static double number(Bf16 x) { return from_bf16(x.bits); }
template <class T>
static double number(T x) { return double(x); }
template <class T>
static T made(double x) { return T(x); }
template <>
Bf16 made<Bf16>(double x) { return {to_bf16(float(x))}; }

// Index of the i-th value of a tensor with these dimensions and strides; `info` is null if the tensor is contiguous.
static size_t place(size_t i, size_t dims, const size_t* info) {
    if (!info) return i;
    size_t at = 0;
    for (size_t d = dims; d-- > 0; i /= info[d]) at += i % info[d] * info[dims + d];
    return at;
}

// (numel, dims, info, in, out, …)
template <class X, class Y, class F>
static CandleKernel each(F f, std::vector<unsigned> more = {}) {
    std::vector<unsigned> sizes = {8, 8, 8, 8, 8};
    sizes.insert(sizes.end(), more.begin(), more.end());
    return {sizes, [=](void** p) {
                const size_t count = parameter<size_t>(p, 0), dims = parameter<size_t>(p, 1);
                const size_t* info = parameter<const size_t*>(p, 2);
                const X* x = parameter<const X*>(p, 3);
                Y* y = parameter<Y*>(p, 4);
                for (size_t i = 0; i < count; i++) y[i] = made<Y>(f(number(x[place(i, dims, info)]), p));
            }};
}

using Table = std::map<std::string, CandleKernel>;

template <class X, class Y>
static void cast(Table& all, const char* x, const char* y) {
    all[std::string("cast_") + x + "_" + y] = each<X, Y>([](double v, void**) { return v; });
}

template <class X>
static void type(Table& all, const char* name) {
    cast<X, float>(all, name, "f32");
    cast<X, Bf16>(all, name, "bf16");
    cast<X, uint8_t>(all, name, "u8");
    cast<X, uint32_t>(all, name, "u32");
    all[std::string("ucopy_") + name] = each<X, X>([](double v, void**) { return v; });
    all[std::string("const_set_") + name] = {{8, 8, 8, sizeof(X), 8}, [](void** p) {
        const size_t count = parameter<size_t>(p, 0), dims = parameter<size_t>(p, 1);
        const size_t* info = parameter<const size_t*>(p, 2);
        X* y = parameter<X*>(p, 4);
        for (size_t i = 0; i < count; i++) y[place(i, dims, info)] = parameter<X>(p, 3);
    }};
    all[std::string("copy2d_") + name] = {{8, 8, 4, 4, 4, 4}, [](void** p) {
        const X* x = parameter<const X*>(p, 0);
        X* y = parameter<X*>(p, 1);
        const uint32_t rows = parameter<uint32_t>(p, 2), columns = parameter<uint32_t>(p, 3);
        const size_t from = parameter<uint32_t>(p, 4), to = parameter<uint32_t>(p, 5);
        for (size_t row = 0; row < rows; row++) memcpy(y + row * to, x + row * from, columns * sizeof(X));
    }};
}

// (numel, dims, info, left, right, out)
template <class F>
static CandleKernel both(F f) {
    return {{8, 8, 8, 8, 8, 8}, [=](void** p) {
        const size_t count = parameter<size_t>(p, 0), dims = parameter<size_t>(p, 1);
        const size_t* info = parameter<const size_t*>(p, 2);
        const float *x = parameter<const float*>(p, 3), *y = parameter<const float*>(p, 4);
        float* z = parameter<float*>(p, 5);
        // The strides of the second operand follow those of the first.
        std::vector<size_t> second;
        for (size_t d = 0; info && d < 2 * dims; d++) second.push_back(info[d < dims ? d : d + dims]);
        for (size_t i = 0; i < count; i++)
            z[i] = f(x[place(i, dims, info)], y[place(i, dims, info ? second.data() : nullptr)]);
    }};
}

// (numel, summands per result, dims, info, in, out); the dimensions to sum over are the last ones.
static CandleKernel sum(bool numel_is_of_result) {
    return {{8, 8, 8, 8, 8, 8}, [=](void** p) {
        const size_t of_one = parameter<size_t>(p, 1), dims = parameter<size_t>(p, 2);
        const size_t count = numel_is_of_result ? parameter<size_t>(p, 0) : parameter<size_t>(p, 0) / of_one;
        const size_t* info = parameter<const size_t*>(p, 3);
        const float* x = parameter<const float*>(p, 4);
        float* y = parameter<float*>(p, 5);
        for (size_t i = 0; i < count; i++) {
            double all = 0;
            for (size_t j = 0; j < of_one; j++) all += x[place(i * of_one + j, dims, info)];
            y[i] = float(all);
        }
    }};
}

const CandleKernel* candle_kernel(const char* name) {
    static const Table all = [] {
        Table all;
        type<float>(all, "f32");
        type<Bf16>(all, "bf16");
        type<uint8_t>(all, "u8");
        type<uint32_t>(all, "u32");
        const auto affine = [](double v, void** p) { return float(v) * parameter<float>(p, 5) + parameter<float>(p, 6); };
        all["bmul_f32"] = both([](float a, float b) { return a * b; });
        all["badd_f32"] = both([](float a, float b) { return a + b; });
        all["fast_sum_f32"] = sum(false);
        all["fast_sum_small_f32"] = sum(true);
        all["affine_f32"] = each<float, float>(affine, {4, 4});
        return all;
    }();
    const auto found = all.find(name);
    return found == all.end() ? nullptr : &found->second;
}
