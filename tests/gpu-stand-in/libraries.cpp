// The functions of cuBLAS, cuDNN and cuRAND that this workspace and Candle's device call. Sums are accumulated in double.

#include <cublas_v2.h>
#include <cudnn.h>
#include <curand.h>

#include "stand_in.h"

struct cublasContext {
    CUstream stream;
};
cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { return *handle = new cublasContext{}, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) { return delete handle, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
    return handle->stream = stream, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDgemmStridedBatched(
    cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const double*, const double*, int, long long,
    const double*, int, long long, const double*, double*, int, long long, int) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t handle, cublasOperation_t of_a, cublasOperation_t of_b, int m, int n, int k, const void* alpha,
    const void* a, cudaDataType at, int lda, long long step_a, const void* b, cudaDataType bt, int ldb, long long step_b,
    const void* beta, void* c, cudaDataType ct, int ldc, long long step_c, int batch, cublasComputeType_t compute,
    cublasGemmAlgo_t) {
    const auto known = [](cudaDataType type) { return type == CUDA_R_32F || type == CUDA_R_16BF; };
    const int rows_a = of_a == CUBLAS_OP_N ? m : k, rows_b = of_b == CUBLAS_OP_N ? k : n;
    if (!known(at) || bt != at || !known(ct) || lda < rows_a || ldb < rows_b || ldc < m || m < 1 || n < 1 || k < 0 ||
        !step_a || !step_b || !step_c || (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const double scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
    enqueue(handle->stream, [=] {
        const bool half = at == CUDA_R_16BF, half_c = ct == CUDA_R_16BF;
        // Rows along k, so that the innermost loop reads adjacent values.
        std::vector<double> left(size_t(m) * k), right(size_t(n) * k);
        for (int step = 0; step < batch; step++) {
            for (int i = 0; i < m; i++)
                for (int p = 0; p < k; p++) {
                    const size_t at = of_a == CUBLAS_OP_N ? i + size_t(p) * lda : p + size_t(i) * lda;
                    left[size_t(i) * k + p] = get(a, half, step * step_a + at);
                }
            for (int j = 0; j < n; j++)
                for (int p = 0; p < k; p++) {
                    const size_t at = of_b == CUBLAS_OP_N ? p + size_t(j) * ldb : j + size_t(p) * ldb;
                    right[size_t(j) * k + p] = get(b, half, step * step_b + at);
                }
            for (int j = 0; j < n; j++)
                for (int i = 0; i < m; i++) {
                    const double *x = &left[size_t(i) * k], *y = &right[size_t(j) * k];
                    double sum = 0;
                    for (int p = 0; p < k; p++) sum += x[p] * y[p];
                    const size_t to = step * step_c + i + size_t(j) * ldc;
                    put(c, half_c, to, scale * sum + (keep != 0 ? keep * get(c, half_c, to) : 0));
                }
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}

curandStatus_t curandCreateGenerator(curandGenerator_t* generator, curandRngType) {
    return *generator = reinterpret_cast<curandGenerator_t>(64), CURAND_STATUS_SUCCESS;
}
curandStatus_t curandDestroyGenerator(curandGenerator_t) { return CURAND_STATUS_SUCCESS; }
curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t, unsigned long long) { return CURAND_STATUS_SUCCESS; }
curandStatus_t curandSetStream(curandGenerator_t, cudaStream_t) { return CURAND_STATUS_SUCCESS; }
// For Candle's random tensors: programs link these functions, but nothing here draws on a GPU. They return an error.
curandStatus_t curandGenerateNormal(curandGenerator_t, float*, size_t, float, float) { return CURAND_STATUS_INTERNAL_ERROR; }
curandStatus_t curandGenerateNormalDouble(curandGenerator_t, double*, size_t, double, double) {
    return CURAND_STATUS_INTERNAL_ERROR;
}
curandStatus_t curandGenerateUniform(curandGenerator_t, float*, size_t) { return CURAND_STATUS_INTERNAL_ERROR; }
curandStatus_t curandGenerateUniformDouble(curandGenerator_t, double*, size_t) { return CURAND_STATUS_INTERNAL_ERROR; }

struct cudnnContext {
    CUstream stream;
};
// An image batch [n, c, h, w] or a weight [out, c, kh, kw], in channels-last memory.
struct cudnnTensorStruct {
    size_t n, c, h, w;
    bool bf16;
};
struct cudnnFilterStruct : cudnnTensorStruct {};
struct cudnnConvolutionStruct {
    size_t pad_h, pad_w, stride, groups;
    cudnnMathType_t math;
};

#define DNN cudnnStatus_t
#define DONE CUDNN_STATUS_SUCCESS
DNN cudnnCreate(cudnnHandle_t* handle) { return *handle = new cudnnContext{}, DONE; }
DNN cudnnDestroy(cudnnHandle_t handle) { return delete handle, DONE; }
DNN cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) { return handle->stream = stream, DONE; }
DNN cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* made) { return *made = new cudnnTensorStruct{}, DONE; }
DNN cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t made) { return delete made, DONE; }
DNN cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* made) { return *made = new cudnnFilterStruct{}, DONE; }
DNN cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t made) { return delete made, DONE; }
DNN cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* made) {
    return *made = new cudnnConvolutionStruct{}, DONE;
}
DNN cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t made) { return delete made, DONE; }
static DNN set(cudnnTensorStruct* to, cudnnTensorFormat_t format, cudnnDataType_t type, int n, int c, int h, int w) {
    const bool known = type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_BFLOAT16;
    if (format != CUDNN_TENSOR_NHWC || !known || n < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
    to->n = n, to->c = c, to->h = h, to->w = w, to->bf16 = type == CUDNN_DATA_BFLOAT16;
    return DONE;
}
DNN cudnnSetTensor4dDescriptor(
    cudnnTensorDescriptor_t to, cudnnTensorFormat_t format, cudnnDataType_t type, int n, int c, int h, int w) {
    return set(to, format, type, n, c, h, w);
}
DNN cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t, cudnnDataType_t, int, int, int, int, int, int, int, int) {
    return CUDNN_STATUS_NOT_SUPPORTED;
}
DNN cudnnSetFilter4dDescriptor(
    cudnnFilterDescriptor_t to, cudnnDataType_t type, cudnnTensorFormat_t format, int n, int c, int h, int w) {
    return set(to, format, type, n, c, h, w);
}
DNN cudnnSetConvolution2dDescriptor(
    cudnnConvolutionDescriptor_t to, int pad_h, int pad_w, int u, int v, int dilation_h, int dilation_w,
    cudnnConvolutionMode_t mode, cudnnDataType_t compute) {
    if (u != v || u < 1 || dilation_h != 1 || dilation_w != 1 || mode != CUDNN_CROSS_CORRELATION ||
        compute != CUDNN_DATA_FLOAT) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    return *to = {size_t(pad_h), size_t(pad_w), size_t(u), 1, CUDNN_DEFAULT_MATH}, DONE;
}
DNN cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t to, int count) { return to->groups = count, DONE; }
DNN cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t to, cudnnMathType_t math) { return to->math = math, DONE; }
DNN cudnnGetConvolutionForwardWorkspaceSize(
    cudnnHandle_t, const cudnnTensorDescriptor_t, const cudnnFilterDescriptor_t, const cudnnConvolutionDescriptor_t,
    const cudnnTensorDescriptor_t, cudnnConvolutionFwdAlgo_t, size_t*) {
    return CUDNN_STATUS_NOT_SUPPORTED;
}

static const size_t WORKSPACE = 1000;

// Four algorithms: nondeterministic, unsupported when it runs, too large a workspace, and usable.
template <class Answer, class Algorithm>
static DNN answer(int room, int* count, Answer* answers, const cudnnTensorStruct* tensor) {
    if (room < 4) return CUDNN_STATUS_BAD_PARAM;
    for (int i = 0; i < 4; i++) {
        answers[i] = {};
        answers[i].algo = Algorithm(i < 2 ? i : 1);
        answers[i].status = CUDNN_STATUS_SUCCESS;
        answers[i].memory = i == 2 ? size_t(1) << 40 : WORKSPACE;
        answers[i].determinism = i == 0 ? CUDNN_NON_DETERMINISTIC : CUDNN_DETERMINISTIC;
        answers[i].mathType = tensor->bf16 ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH;
    }
    answers[1].algo = Algorithm(3);
    return *count = 4, DONE;
}
DNN cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t, const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t, const cudnnConvolutionDescriptor_t,
    const cudnnTensorDescriptor_t, const int room, int* count, cudnnConvolutionFwdAlgoPerf_t* answers) {
    return answer<cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionFwdAlgo_t>(room, count, answers, x);
}
DNN cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t, const cudnnFilterDescriptor_t, const cudnnTensorDescriptor_t y, const cudnnConvolutionDescriptor_t,
    const cudnnTensorDescriptor_t, const int room, int* count, cudnnConvolutionBwdDataAlgoPerf_t* answers) {
    return answer<cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdDataAlgo_t>(room, count, answers, y);
}
DNN cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t, const cudnnConvolutionDescriptor_t,
    const cudnnFilterDescriptor_t, const int room, int* count, cudnnConvolutionBwdFilterAlgoPerf_t* answers) {
    return answer<cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionBwdFilterAlgo_t>(room, count, answers, x);
}

// Pass 0 is forward, 1 the gradient of x, 2 the gradient of the weight; const is cast away from the output pointer.
static DNN convolve(
    cudnnHandle_t handle, int pass, int algorithm, const cudnnTensorStruct& x, const void* xs, const cudnnTensorStruct& w,
    const void* ws, const cudnnConvolutionStruct& conv, const cudnnTensorStruct& y, const void* ys, const void* alpha,
    const void* beta, const void* space, size_t bytes) {
    if (algorithm == 3) return CUDNN_STATUS_NOT_SUPPORTED;
    const size_t oh = (x.h + 2 * conv.pad_h - w.h) / conv.stride + 1, ow = (x.w + 2 * conv.pad_w - w.w) / conv.stride + 1;
    const bool exact = x.bf16 || conv.math == CUDNN_FMA_MATH;
    if (algorithm != 1 || bytes < WORKSPACE || !space || y.h != oh || y.w != ow || y.n != x.n || y.c != w.n ||
        w.c * conv.groups != x.c || x.bf16 != w.bf16 || x.bf16 != y.bf16 || !exact ||
        *static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    enqueue(handle->stream, [=] {
        memset(const_cast<void*>(space), 0xFF, WORKSPACE);
        const bool half = x.bf16;
        const auto all = [&](const void* at, size_t count, bool written) {
            std::vector<double> values(count);
            for (size_t i = 0; !written && i < count; i++) values[i] = get(at, half, i);
            return values;
        };
        auto xv = all(xs, x.n * x.c * x.h * x.w, pass == 1), wv = all(ws, w.n * w.c * w.h * w.w, pass == 2);
        auto yv = all(ys, y.n * y.c * y.h * y.w, pass == 0);
        for (size_t pixel = 0; pixel < y.n * oh * ow; pixel++)
            for (size_t tap = 0; tap < w.h * w.w; tap++) {
                const size_t row = pixel / ow % oh * conv.stride + tap / w.w - conv.pad_h;
                const size_t column = pixel % ow * conv.stride + tap % w.w - conv.pad_w;
                // Negative values wrap around to very large ones.
                if (row >= x.h || column >= x.w) continue;
                const size_t from = ((pixel / (oh * ow) * x.h + row) * x.w + column) * x.c;
                for (size_t out = 0; out < y.c; out++) {
                    double* a = &xv[from + out / (y.c / conv.groups) * w.c];
                    double* b = &wv[(out * w.h * w.w + tap) * w.c];
                    double& c = yv[pixel * y.c + out];
                    for (size_t i = 0; i < w.c; i++) {
                        if (pass == 0) c += a[i] * b[i];
                        if (pass == 1) a[i] += b[i] * c;
                        if (pass == 2) b[i] += a[i] * c;
                    }
                }
            }
        const auto& result = pass == 0 ? yv : pass == 1 ? xv : wv;
        void* to = const_cast<void*>(pass == 0 ? ys : pass == 1 ? xs : ws);
        for (size_t i = 0; i < result.size(); i++) put(to, half, i, result[i]);
    });
    return DONE;
}
DNN cudnnConvolutionForward(
    cudnnHandle_t handle, const void* alpha, const cudnnTensorDescriptor_t x, const void* xs,
    const cudnnFilterDescriptor_t w, const void* ws, const cudnnConvolutionDescriptor_t conv,
    cudnnConvolutionFwdAlgo_t algorithm, void* space, size_t bytes, const void* beta, const cudnnTensorDescriptor_t y,
    void* ys) {
    return convolve(handle, 0, algorithm, *x, xs, *w, ws, *conv, *y, ys, alpha, beta, space, bytes);
}
DNN cudnnConvolutionBackwardData(
    cudnnHandle_t handle, const void* alpha, const cudnnFilterDescriptor_t w, const void* ws,
    const cudnnTensorDescriptor_t y, const void* ys, const cudnnConvolutionDescriptor_t conv,
    cudnnConvolutionBwdDataAlgo_t algorithm, void* space, size_t bytes, const void* beta, const cudnnTensorDescriptor_t x,
    void* xs) {
    return convolve(handle, 1, algorithm, *x, xs, *w, ws, *conv, *y, ys, alpha, beta, space, bytes);
}
DNN cudnnConvolutionBackwardFilter(
    cudnnHandle_t handle, const void* alpha, const cudnnTensorDescriptor_t x, const void* xs,
    const cudnnTensorDescriptor_t y, const void* ys, const cudnnConvolutionDescriptor_t conv,
    cudnnConvolutionBwdFilterAlgo_t algorithm, void* space, size_t bytes, const void* beta, const cudnnFilterDescriptor_t w,
    void* ws) {
    return convolve(handle, 2, algorithm, *x, xs, *w, ws, *conv, *y, ys, alpha, beta, space, bytes);
}
