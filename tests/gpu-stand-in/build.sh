#!/usr/bin/env bash
# Builds the stand-in into a folder for LD_LIBRARY_PATH:
#
#     tests/gpu-stand-in/build.sh FOLDER
#
# Wants the headers of a CUDA toolkit ($CUDA_HOME) and of cuDNN, and a C++ compiler.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
mkdir -p "$out"
compiler=${CXX:-c++}
kernels=$here/../../crates/alexnet-kernels/src/cuda/kernels.cu
options=(-std=c++17 -O2 -U_FORTIFY_SOURCE -ffp-contract=off -shared -fPIC)
"$compiler" "${options[@]}" -DALEXNET_HOST -x c++ "$kernels" -o "$out/kernels_f32.so"
"$compiler" "${options[@]}" -DALEXNET_HOST -DREAL_BF16 -x c++ "$kernels" -o "$out/kernels_bf16.so"
headers=(-isystem "$CUDA_HOME/include" -isystem "$CUDA_HOME/../cudnn/include")
strict=(-Wall -Wextra -Wno-unused-parameter)
# Sums in any order, which lets the compiler take several at a time.
fast=(-O3 -march=native -fassociative-math -fno-signed-zeros -fno-trapping-math)
"$compiler" "${options[@]}" "${fast[@]}" "${strict[@]}" "${headers[@]}" -c "$here/libraries.cpp" -o "$out/libraries.o"
"$compiler" "${options[@]}" "${strict[@]}" "${headers[@]}" "$here"/{driver,candle}.cpp "$out/libraries.o" \
  -Wl,--version-script="$here/versions.map" -ldl -o "$out/libcuda.so.1"
for library in libcublas.so.13 libcurand.so.10 libcudnn.so.9; do
  ln -sf libcuda.so.1 "$out/$library"
done
