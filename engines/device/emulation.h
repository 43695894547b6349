// Lets a C++ compiler build the kernels: every thread of a grid runs after the other.
#pragma once

#include <math.h>
#include <cstddef>
#include <string>
#include <utility>

#define __global__
#define __device__

struct Extent {
  unsigned x, y, z;
};

static Extent gridDim, blockDim, blockIdx, threadIdx;

// One letter for each parameter, as in host.py.
template <class Type> struct Letter;
template <class Type> struct Letter<Type *> { static constexpr char value = 'p'; };
template <> struct Letter<int> { static constexpr char value = 'i'; };
template <> struct Letter<long long> { static constexpr char value = 'q'; };
template <> struct Letter<float> { static constexpr char value = 'f'; };

template <class... Types> std::string letters(void (*)(Types...)) {
  return {Letter<Types>::value...};
}

template <class... Types, std::size_t... Places>
void run_grid(void (*kernel)(Types...), Extent grid, Extent block, void **arguments,
              std::index_sequence<Places...>) {
  gridDim = grid, blockDim = block;
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
        for (threadIdx.z = 0; threadIdx.z < block.z; ++threadIdx.z)
          for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
            for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x)
              kernel(*static_cast<Types *>(arguments[Places])...);
}

template <class... Types>
void run_kernel(void (*kernel)(Types...), Extent grid, Extent block, void **arguments) {
  run_grid(kernel, grid, block, arguments, std::index_sequence_for<Types...>{});
}

#define EXPORTED extern "C" __attribute__((visibility("default")))

#define EXPORT_KERNEL(kernel)                                                      \
  EXPORTED const char *letters_of_##kernel() {                                     \
    static const std::string found = letters(kernel);                              \
    return found.c_str();                                                          \
  }                                                                                \
  EXPORTED void run_##kernel(Extent grid, Extent block, void **arguments) {        \
    run_kernel(kernel, grid, block, arguments);                                    \
  }
