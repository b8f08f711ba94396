// Copies `rows` rows of `width` values from one matrix into another; each has its own width and first column.
template <int N>
__device__ void copy_rows(
    const real* x, u32 x_width, u32 x_first, real* y, u32 y_width, u32 y_first, u32 count, u32 width) {
    const u32 vectors = width / N;
    FOR_EACH(i, count / N) {
        const u32 row = i / vectors, column = i % vectors * N;
        *reinterpret_cast<Packed<real, N>*>(y + row * y_width + y_first + column) =
            *reinterpret_cast<const Packed<real, N>*>(x + row * x_width + x_first + column);
    }
}

// With `vector`, widths and first columns are multiples of VECTOR.
KERNEL(copy_columns)(
    const real* x, u32 x_width, u32 x_first, real* y, u32 y_width, u32 y_first, u32 count, u32 width, u32 vector) {
    if (vector) copy_rows<VECTOR>(x, x_width, x_first, y, y_width, y_first, count, width);
    else copy_rows<1>(x, x_width, x_first, y, y_width, y_first, count, width);
}
EXPORT(copy_columns)
