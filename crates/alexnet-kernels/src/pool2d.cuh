// Pooling windows along one dimension, shared by max-pooling and average pooling.
#pragma once

// The windows that contain pixel `at`: from `first` up to, but excluding, `end`.
__device__ inline void windows_of(int at, int windows, int kernel, int stride, int padding, int& first, int& end) {
    const int reached = at + padding - kernel;
    first = reached < 0 ? 0 : reached / stride + 1;
    end = min((at + padding) / stride + 1, windows);
}

// The part of window `i` inside 0..size.
__device__ inline void clip(int i, int size, int kernel, int stride, int padding, int& first, int& end) {
    const int start = i * stride - padding;
    first = max(start, 0);
    end = min(start + kernel, size);
}
