// Biases: added to rows of channels, and their gradients, which are sums over the rows.

KERNEL(bias_forward)(real* x, const float* bias, u32 count, u32 channels, u32 relu) {
    FOR_EACH(i, count) {
        const float sum = value(x[i]) + (bias ? bias[i % channels] : 0.0f);
        put(&x[i], relu && sum <= 0.0f ? 0.0f : sum);
    }
}
EXPORT(bias_forward)

// Rows of a block, and columns.
#define SUM_ROWS 8
#define SUM_COLUMNS 32

// Sums of each column over a part of the rows: part blockIdx.y of gridDim.y, each of `rows_per_part` rows.
KERNEL(column_sums)(const real* x, float* partial, u32 rows, u32 columns, u32 rows_per_part) {
    __shared__ float sums[SUM_ROWS][SUM_COLUMNS];
    const u32 column = blockIdx.x * SUM_COLUMNS + threadIdx.x;
    const u32 first = blockIdx.y * rows_per_part, end = min(first + rows_per_part, rows);
    float sum = 0.0f;
    if (column < columns)
        for (u32 row = first + threadIdx.y; row < end; row += SUM_ROWS) sum += value(x[row * columns + column]);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        for (u32 other = 1; other < SUM_ROWS; other++) sum += sums[other][threadIdx.x];
        partial[blockIdx.y * columns + column] = sum;
    }
}
EXPORT(column_sums)

// The parts of each column together, in their order.
KERNEL(add_parts)(const float* partial, float* sums, u32 columns, u32 parts) {
    FOR_EACH(column, columns) {
        float sum = 0.0f;
        for (u32 part = 0; part < parts; part++) sum += partial[part * columns + column];
        sums[column] = sum;
    }
}
EXPORT(add_parts)
