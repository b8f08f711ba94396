// Copies `rows` rows of `width` values from one matrix into another; each has its own width and first column.
KERNEL(copy_columns)(
    const real* x, u32 x_width, u32 x_first, real* y, u32 y_width, u32 y_first, u32 count, u32 width) {
    FOR_EACH(i, count) {
        const u32 row = i / width, column = i % width;
        y[row * y_width + y_first + column] = x[row * x_width + x_first + column];
    }
}
EXPORT(copy_columns)
