// From the volume to windows, and from windows to the slab that is being blended.
#include "index.cuh"

// One window (channels, patch) of a volume (channels, size); a corner may lie before the volume.
// Around the volume stands each channel's own padding.
extern "C" __global__ void gather(const float *volume, int slices, int rows, int columns,
                                  int corner_k, int corner_j, int corner_i, int patch_k,
                                  int patch_j, int patch_i, const float *padding, Count count,
                                  float *window) {
  const Count n = element();
  if (n >= count) return;
  const int i = corner_i + static_cast<int>(n % patch_i);
  const int j = corner_j + static_cast<int>(n / patch_i % patch_j);
  const int k = corner_k + static_cast<int>(n / patch_i / patch_j % patch_k);
  const Count channel = n / patch_i / patch_j / patch_k;
  const bool inside = 0 <= k && k < slices && 0 <= j && j < rows && 0 <= i && i < columns;
  window[n] = inside ? volume[((channel * slices + k) * rows + j) * columns + i]
                     : padding[channel];
}

// The greatest input of each of many windows, in two steps; corners are (windows, 3).
extern "C" __global__ void partial_maxima(const float *volume, int channels, int slices, int rows,
                                          int columns, const int *corners, int patch_k,
                                          int patch_j, int patch_i, int parts, Count count,
                                          float *partials) {
  const Count n = element();
  if (n >= count) return;
  const int *corner = corners + n / parts * 3;
  const Count voxels = static_cast<Count>(channels) * patch_k * patch_j * patch_i;
  float most = -INFINITY;
  for (Count v = n % parts; v < voxels; v += parts) {
    const int i = corner[2] + static_cast<int>(v % patch_i);
    const int j = corner[1] + static_cast<int>(v / patch_i % patch_j);
    const int k = corner[0] + static_cast<int>(v / patch_i / patch_j % patch_k);
    const Count channel = v / patch_i / patch_j / patch_k;
    if (0 <= k && k < slices && 0 <= j && j < rows && 0 <= i && i < columns)
      most = fmaxf(most, volume[((channel * slices + k) * rows + j) * columns + i]);
  }
  partials[n] = most;
}

extern "C" __global__ void maxima(const float *partials, int parts, int windows, float *most) {
  const Count window = element();
  if (window >= windows) return;
  float found = -INFINITY;
  for (int part = 0; part < parts; ++part)
    found = fmaxf(found, partials[window * parts + part]);
  most[window] = found;
}

// Adds a window (channels, patch) times its separable weight to the slab (channels, depth, rows,
// columns); the corner is in voxels of the slab, and what lies outside the slab is dropped.
// *broken becomes 1 if a value is not finite: every writer writes the same.
extern "C" __global__ void accumulate(const float *window, int patch_k, int patch_j, int patch_i,
                                      const float *weight_k, const float *weight_j,
                                      const float *weight_i, int corner_k, int corner_j,
                                      int corner_i, int depth, int rows, int columns, Count count,
                                      float *slab, int *broken) {
  const Count n = element();
  if (n >= count) return;
  const int i = static_cast<int>(n % patch_i);
  const int j = static_cast<int>(n / patch_i % patch_j);
  const int k = static_cast<int>(n / patch_i / patch_j % patch_k);
  const Count channel = n / patch_i / patch_j / patch_k;
  const float value = window[n];
  if (!isfinite(value)) *broken = 1;
  const int at_k = corner_k + k, at_j = corner_j + j, at_i = corner_i + i;
  if (at_k < 0 || at_k >= depth || at_j < 0 || at_j >= rows || at_i < 0 || at_i >= columns) return;
  slab[((channel * depth + at_k) * rows + at_j) * columns + at_i] +=
      value * (weight_k[k] * weight_j[j] * weight_i[i]);
}

// A window that is not run: each channel is one value everywhere.
extern "C" __global__ void constant(const float *values, int patch_k, int patch_j, int patch_i,
                                    Count count, float *window) {
  const Count n = element();
  if (n < count) window[n] = values[n / patch_i / patch_j / patch_k];
}

// Moves the slab's slices forward by `by`, and clears the last ones; one thread for each column
// of slices, which it walks from the front, so that source and target may overlap.
extern "C" __global__ void shift(float *slab, int depth, Count plane, int by, Count count) {
  const Count n = element();
  if (n >= count) return;
  float *column = slab + n / plane * depth * plane + n % plane;
  for (int k = 0; k < depth; ++k)
    column[k * plane] = k + by < depth ? column[(k + by) * plane] : 0.0f;
}
