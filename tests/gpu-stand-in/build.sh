#!/usr/bin/env bash
# Builds the functions of NVIDIA's libraries that a program requires into a folder for LD_LIBRARY_PATH:
#
#     tests/gpu-stand-in/build.sh FOLDER PROGRAM
#
# Requires the headers of a CUDA toolkit ($CUDA_HOME) and of cuDNN, and a C++ compiler.
set -euo pipefail
if [[ $# != 2 || -z ${CUDA_HOME:-} ]]; then
  echo "usage: CUDA_HOME=TOOLKIT $0 FOLDER PROGRAM" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
out=$1 program=$2
mkdir -p "$out"
compiler=${CXX:-c++}
kernels=$here/../../crates/alexnet-kernels/src/cuda/kernels.cu
options=(-std=c++17 -O2 -U_FORTIFY_SOURCE -ffp-contract=off -shared -fPIC)
"$compiler" "${options[@]}" -DALEXNET_HOST -x c++ "$kernels" -o "$out/kernels_f32.so"
"$compiler" "${options[@]}" -DALEXNET_HOST -DREAL_BF16 -x c++ "$kernels" -o "$out/kernels_bf16.so"
headers=(-isystem "$CUDA_HOME/include" -isystem "$CUDA_HOME/../cudnn/include")
strict=(-Wall -Wextra -Wno-unused-parameter)
# Allows reordering of sums, so that the compiler can vectorize them.
fast=(-O3 -march=native -fassociative-math -fno-signed-zeros -fno-trapping-math)
"$compiler" "${options[@]}" "${fast[@]}" "${strict[@]}" "${headers[@]}" -c "$here/libraries.cpp" -o "$out/libraries.o"
# All libraries are one file, linked under the names that the program uses, which include the version.
libraries=$(readelf -d "$program" | grep -oE 'lib(cublas|curand|cudnn)\.so\.[0-9]+')
for library in $libraries; do
  name=${library#lib}
  echo "$library { ${name%%.*}*; };"
done >"$out/versions.map"
"$compiler" "${options[@]}" "${strict[@]}" "${headers[@]}" "$here"/{driver,candle}.cpp "$out/libraries.o" \
  -Wl,--version-script="$out/versions.map" -ldl -o "$out/libcuda.so.1"
for library in $libraries; do
  ln -sf libcuda.so.1 "$out/$library"
done
