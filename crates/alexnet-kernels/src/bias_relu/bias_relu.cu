// Biases: added to rows of channels; their gradients are sums over the rows.

template <int N>
__device__ void add_bias(
    const real* x, real* y, u32 y_width, const float* bias, u32 count, u32 channels, bool relu) {
    const u32 vectors = channels / N;
    FOR_EACH(i, count / N) {
        const u32 row = i / vectors, channel = i % vectors * N;
        float v[N], b[N] = {};
        load(x + i * N, v);
        if (bias) load(bias + channel, b);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float sum = v[j] + b[j];
            v[j] = relu && sum <= 0.0f ? 0.0f : sum; // NaN stays NaN.
        }
        store(y + row * y_width + channel, v);
    }
}

// From rows of `channels` values into rows of `y_width` values, whose remaining values do not change; `y` may be `x`.
// With `vector`, both widths are multiples of VECTOR.
KERNEL(bias_forward)(
    const real* x, real* y, u32 y_width, const float* bias, u32 count, u32 channels, u32 relu, u32 vector) {
    if (vector) add_bias<VECTOR>(x, y, y_width, bias, count, channels, relu);
    else add_bias<1>(x, y, y_width, bias, count, channels, relu);
}
EXPORT(bias_forward)

// Threads of a block in x, each with one column or a vector of columns, and in y, over the rows.
#define SUM_COLUMNS 4
#define SUM_ROWS 64

template <int N>
__device__ void sum_columns(
    const real* x, float* partial, u32 rows, u32 columns, u32 rows_per_part, float (*sums)[SUM_COLUMNS * VECTOR]) {
    const u32 column = (blockIdx.x * SUM_COLUMNS + threadIdx.x) * N;
    const u32 first = blockIdx.y * rows_per_part, end = min(first + rows_per_part, rows);
    float sum[N] = {};
    if (column < columns) {
#pragma unroll 4
        for (u32 row = first + threadIdx.y; row < end; row += SUM_ROWS) {
            float v[N];
            load(x + row * columns + column, v);
#pragma unroll
            for (int j = 0; j < N; j++) sum[j] += v[j];
        }
    }
#pragma unroll
    for (int j = 0; j < N; j++) sums[threadIdx.y][threadIdx.x * N + j] = sum[j];
    __syncthreads();
    const u32 thread = threadIdx.y * SUM_COLUMNS + threadIdx.x, mine = blockIdx.x * SUM_COLUMNS * N + thread;
    if (thread < SUM_COLUMNS * N && mine < columns) {
        float total = 0.0f;
        for (u32 row = 0; row < SUM_ROWS; row++) total += sums[row][thread];
        partial[blockIdx.y * columns + mine] = total;
    }
}

// Sums of each column over a part of the rows: part blockIdx.y of gridDim.y, each of `rows_per_part` rows.
KERNEL(column_sums)(const real* x, float* partial, u32 rows, u32 columns, u32 rows_per_part, u32 vector) {
    __shared__ float sums[SUM_ROWS][SUM_COLUMNS * VECTOR];
    if (vector) sum_columns<VECTOR>(x, partial, rows, columns, rows_per_part, sums);
    else sum_columns<1>(x, partial, rows, columns, rows_per_part, sums);
}
EXPORT(column_sums)

// Adds up the parts of each column, in their order.
KERNEL(add_parts)(const float* partial, float* sums, u32 columns, u32 parts) {
    FOR_EACH(column, columns) {
        float sum = 0.0f;
#pragma unroll 8
        for (u32 part = 0; part < parts; part++) sum += partial[part * columns + column];
        sums[column] = sum;
    }
}
EXPORT(add_parts)
