// One thread for each element; axes of a volume are (k, j, i), i runs fastest.
#pragma once

typedef long long Count;

__device__ inline Count element() {
  return static_cast<Count>(blockIdx.x) * blockDim.x + threadIdx.x;
}
