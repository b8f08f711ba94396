// The windows that both poolings share, along one direction.
#pragma once

// The windows that hold pixel `at`, from `first` to before `end`.
__device__ inline void windows_of(int at, int windows, int kernel, int stride, int padding, int& first, int& end) {
    const int reached = at + padding - kernel;
    first = reached < 0 ? 0 : reached / stride + 1;
    end = min((at + padding) / stride + 1, windows);
}

// The part of window `i` inside 0 to `size`.
__device__ inline void clip(int i, int size, int kernel, int stride, int padding, int& first, int& end) {
    const int start = i * stride - padding;
    first = max(start, 0);
    end = min(start + kernel, size);
}
