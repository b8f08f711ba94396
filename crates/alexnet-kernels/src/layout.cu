// Transposes `matrices` matrices of a few rows, such as the color planes of an image: one thread per column.
template <class X, class Y>
__device__ void transpose_few(const X* x, Y* y, u32 matrices, u32 rows, u32 columns) {
    FOR_EACH(i, matrices * columns) {
        const X* from = x + i / columns * rows * columns + i % columns;
        for (u32 row = 0; row < rows; row++) put(&y[i * rows + row], value(from[row * columns]));
    }
}

KERNEL(transpose_few_rows)(const real* x, real* y, u32 matrices, u32 rows, u32 columns) {
    transpose_few(x, y, matrices, rows, columns);
}
EXPORT(transpose_few_rows)

KERNEL(transpose_few_rows_from_f32)(const float* x, real* y, u32 matrices, u32 rows, u32 columns) {
    transpose_few(x, y, matrices, rows, columns);
}
EXPORT(transpose_few_rows_from_f32)

KERNEL(transpose_few_rows_to_f32)(const real* x, float* y, u32 matrices, u32 rows, u32 columns) {
    transpose_few(x, y, matrices, rows, columns);
}
EXPORT(transpose_few_rows_to_f32)

// Transposes matrices of `rows` by `columns` through a square tile in shared memory, so that reads and writes both run
// along rows. blockIdx.x is the tile of a matrix, blockIdx.y the matrix.
#define SQUARE 32
#define SQUARE_ROWS 8

template <class X, class Y>
__device__ void transpose_into(const X* x, Y* y, u32 rows, u32 columns, float (*square)[SQUARE + 1]) {
    const u32 across = (columns + SQUARE - 1) / SQUARE, matrix = blockIdx.y * rows * columns;
    const u32 row = blockIdx.x / across * SQUARE, column = blockIdx.x % across * SQUARE;
    for (u32 i = threadIdx.y; i < SQUARE; i += SQUARE_ROWS)
        if (row + i < rows && column + threadIdx.x < columns)
            square[i][threadIdx.x] = value(x[matrix + (row + i) * columns + column + threadIdx.x]);
    __syncthreads();
    for (u32 i = threadIdx.y; i < SQUARE; i += SQUARE_ROWS)
        if (column + i < columns && row + threadIdx.x < rows)
            put(&y[matrix + (column + i) * rows + row + threadIdx.x], square[threadIdx.x][i]);
}

KERNEL(transpose)(const real* x, real* y, u32 rows, u32 columns) {
    __shared__ float square[SQUARE][SQUARE + 1];
    transpose_into(x, y, rows, columns, square);
}
EXPORT(transpose)

KERNEL(transpose_from_f32)(const float* x, real* y, u32 rows, u32 columns) {
    __shared__ float square[SQUARE][SQUARE + 1];
    transpose_into(x, y, rows, columns, square);
}
EXPORT(transpose_from_f32)

KERNEL(transpose_to_f32)(const real* x, float* y, u32 rows, u32 columns) {
    __shared__ float square[SQUARE][SQUARE + 1];
    transpose_into(x, y, rows, columns, square);
}
EXPORT(transpose_to_f32)
