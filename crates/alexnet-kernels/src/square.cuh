// Squares of pixels, shared by the normalizations within a channel.
#pragma once

// Rows and columns of the square around a pixel, clipped to the image.
struct Square {
    int top, bottom, left, right;
};

__device__ inline Square square_at(int row, int column, int h, int w, int before, int after) {
    return {max(row - before, 0), min(row + after + 1, h), max(column - before, 0), min(column + after + 1, w)};
}
