// Batch normalization of channels-last images, treated as rows of channels.

// Rows and columns of a block.
#define NORM_ROWS 8
#define NORM_COLUMNS 32

// Writes two sums over the block's rows for each of its columns to part blockIdx.y of `partial`: first all columns of
// one sum, then all of the other.
__device__ inline void add_block_rows(
    float first, float second, float* partial, u32 column, u32 columns,
    float (*shared)[NORM_ROWS][NORM_COLUMNS]) {
    shared[0][threadIdx.y][threadIdx.x] = first;
    shared[1][threadIdx.y][threadIdx.x] = second;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        for (u32 other = 1; other < NORM_ROWS; other++) {
            first += shared[0][other][threadIdx.x];
            second += shared[1][other][threadIdx.x];
        }
        partial[blockIdx.y * 2 * columns + column] = first;
        partial[(blockIdx.y * 2 + 1) * columns + column] = second;
    }
}

// Sums of the deviations from the mean, and of their squares, over part blockIdx.y of the rows.
KERNEL(batch_norm_deviations)(
    const real* x, const float* sums, float* partial, u32 rows, u32 columns, u32 rows_per_part) {
    __shared__ float shared[2][NORM_ROWS][NORM_COLUMNS];
    const u32 column = blockIdx.x * NORM_COLUMNS + threadIdx.x;
    const u32 first = blockIdx.y * rows_per_part, end = min(first + rows_per_part, rows);
    float sum = 0.0f, squares = 0.0f;
    if (column < columns) {
        const float mean = sums[column] / rows;
        for (u32 row = first + threadIdx.y; row < end; row += NORM_ROWS) {
            const float deviation = value(x[row * columns + column]) - mean;
            sum += deviation;
            squares += deviation * deviation;
        }
    }
    add_block_rows(sum, squares, partial, column, columns, shared);
}
EXPORT(batch_norm_deviations)

// Adds up the parts. `mean` holds the sums from which the mean for the deviations was computed; the sum of the
// deviations corrects its rounding error.
KERNEL(batch_norm_statistics)(
    const float* partial, float* running_mean, float* running_variance, float* mean, float* inverse_std, u32 columns,
    u32 rows, u32 parts, float momentum, float eps) {
    FOR_EACH(c, columns) {
        float sum = 0.0f, squares = 0.0f;
        for (u32 part = 0; part < parts; part++) {
            sum += partial[part * 2 * columns + c];
            squares += partial[(part * 2 + 1) * columns + c];
        }
        const float m = mean[c] / rows + sum / rows;
        squares -= sum * (sum / rows);
        mean[c] = m;
        inverse_std[c] = 1.0f / sqrtf(squares / rows + eps);
        running_mean[c] = (1.0f - momentum) * running_mean[c] + momentum * m;
        running_variance[c] = (1.0f - momentum) * running_variance[c] + momentum * (squares / (rows - 1));
    }
}
EXPORT(batch_norm_statistics)

KERNEL(batch_norm_running)(
    const float* running_mean, const float* running_variance, float* mean, float* inverse_std, u32 columns, float eps) {
    FOR_EACH(c, columns) {
        mean[c] = running_mean[c];
        inverse_std[c] = 1.0f / sqrtf(running_variance[c] + eps);
    }
}
EXPORT(batch_norm_running)

KERNEL(batch_norm_forward)(
    const real* x, const float* mean, const float* inverse_std, const float* weight, const float* bias, real* y,
    u32 count, u32 columns) {
    FOR_EACH(i, count) {
        const u32 c = i % columns;
        put(&y[i], (value(x[i]) - mean[c]) * (inverse_std[c] * weight[c]) + bias[c]);
    }
}
EXPORT(batch_norm_forward)

// Sums of g, and of g times the normalized x, over part blockIdx.y of the rows.
KERNEL(batch_norm_products)(
    const real* x, const real* grad_y, const float* mean, const float* inverse_std, float* partial, u32 rows,
    u32 columns, u32 rows_per_part) {
    __shared__ float shared[2][NORM_ROWS][NORM_COLUMNS];
    const u32 column = blockIdx.x * NORM_COLUMNS + threadIdx.x;
    const u32 first = blockIdx.y * rows_per_part, end = min(first + rows_per_part, rows);
    float sum = 0.0f, products = 0.0f;
    if (column < columns) {
        const float m = mean[column];
        for (u32 row = first + threadIdx.y; row < end; row += NORM_ROWS) {
            const float g = value(grad_y[row * columns + column]);
            sum += g;
            products += g * (value(x[row * columns + column]) - m);
        }
        products *= inverse_std[column];
    }
    add_block_rows(sum, products, partial, column, columns, shared);
}
EXPORT(batch_norm_products)

KERNEL(batch_norm_sums)(
    const float* partial, float* sums, float* grad_weight, float* grad_bias, u32 columns, u32 parts) {
    FOR_EACH(c, columns) {
        float sum = 0.0f, products = 0.0f;
        for (u32 part = 0; part < parts; part++) {
            sum += partial[part * 2 * columns + c];
            products += partial[(part * 2 + 1) * columns + c];
        }
        sums[c] = sum;
        sums[columns + c] = products;
        if (grad_weight) grad_weight[c] = products;
        if (grad_bias) grad_bias[c] = sum;
    }
}
EXPORT(batch_norm_sums)

KERNEL(batch_norm_backward)(
    const real* x, const real* grad_y, const float* mean, const float* inverse_std, const float* weight,
    const float* sums, real* grad_x, u32 count, u32 columns, u32 rows, u32 training) {
    FOR_EACH(i, count) {
        const u32 c = i % columns;
        float g = value(grad_y[i]);
        if (training) {
            const float normalized = (value(x[i]) - mean[c]) * inverse_std[c];
            g -= sums[c] / rows + normalized * (sums[columns + c] / rows);
        }
        put(&grad_x[i], inverse_std[c] * weight[c] * g);
    }
}
EXPORT(batch_norm_backward)
