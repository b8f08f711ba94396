// One block of REDUCE_THREADS threads per row of logits. Either `labels` or `weights` is null. A label that is not
// below the number of classes makes its row NaN: an error as on the CPU would have to wait for the GPU.
KERNEL(softmax_cross_entropy)(
    const real* logits, const u32* labels, const float* weights, float* losses, real* grad_logits, u32 n, u32 classes) {
    __shared__ float shared[REDUCE_THREADS];
    const u32 row = blockIdx.x;
    const real* z = logits + row * classes;
    const float* t = weights ? weights + row * classes : nullptr;
    float largest = -INFINITY;
    for (u32 i = threadIdx.x; i < classes; i += blockDim.x) largest = fmaxf(largest, value(z[i]));
    largest = reduce_block(largest, true, shared);
    // fmaxf ignores NaN; the sum does not.
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < classes; i += blockDim.x) sum += expf(value(z[i]) - largest);
    sum = reduce_block(sum, false, shared);
    const float log_sum = largest + logf(sum);
    float total = 1.0f;
    if (t) {
        float loss = 0.0f, part = 0.0f;
        for (u32 i = threadIdx.x; i < classes; i += blockDim.x) {
            part += t[i];
            // A weight of 0 contributes nothing, even for an infinite logit.
            if (t[i] != 0.0f) loss += t[i] * (log_sum - value(z[i]));
        }
        total = reduce_block(part, false, shared);
        loss = reduce_block(loss, false, shared);
        if (threadIdx.x == 0) losses[row] = loss;
    } else if (threadIdx.x == 0) {
        losses[row] = labels[row] < classes ? log_sum - value(z[labels[row]]) : NAN;
    }
    if (!grad_logits) return;
    const u32 label = t ? 0 : labels[row];
    const float scale = t || label < classes ? 1.0f / n : NAN;
    for (u32 i = threadIdx.x; i < classes; i += blockDim.x) {
        const float target = t ? t[i] : (i == label ? 1.0f : 0.0f);
        put(&grad_logits[row * classes + i], (expf(value(z[i]) - log_sum) * total - target) * scale);
    }
}
EXPORT(softmax_cross_entropy)

// The mean of `count` values, by one block.
KERNEL(mean)(const float* x, float* y, u32 count) {
    __shared__ float shared[REDUCE_THREADS];
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) sum += x[i];
    sum = reduce_block(sum, false, shared);
    if (threadIdx.x == 0) *y = sum / count;
}
EXPORT(mean)
