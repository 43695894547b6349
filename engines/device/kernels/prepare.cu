// From stored voxels to the network's grid and range.
#include "index.cuh"

// Turned voxel (k, j, i) is the stored one at origin + k step_k + j step_j + i step_i.
template <class Stored>
__device__ inline void orient(const Stored *stored, float slope, float intercept, Count origin,
                              Count step_k, Count step_j, Count step_i, int rows, int columns,
                              Count count, float *turned) {
  const Count n = element();
  if (n >= count) return;
  const Count i = n % columns, j = n / columns % rows, k = n / columns / rows;
  const float value = stored[origin + k * step_k + j * step_j + i * step_i];
  turned[n] = value * slope + intercept;
}

extern "C" __global__ void orient_int16(const short *stored, float slope, float intercept,
                                        Count origin, Count step_k, Count step_j, Count step_i,
                                        int rows, int columns, Count count, float *turned) {
  orient(stored, slope, intercept, origin, step_k, step_j, step_i, rows, columns, count, turned);
}

extern "C" __global__ void orient_float32(const float *stored, float slope, float intercept,
                                          Count origin, Count step_k, Count step_j, Count step_i,
                                          int rows, int columns, Count count, float *turned) {
  orient(stored, slope, intercept, origin, step_k, step_j, step_i, rows, columns, count, turned);
}

// One axis: seen as (outer, have, inner) in and (outer, want, inner) out. Row t of the table
// mixes `taps` elements from first[t] on.
extern "C" __global__ void resample(const float *from, const int *first, const float *weights,
                                    int taps, int have, int want, Count inner, Count count,
                                    float *to) {
  const Count n = element();
  if (n >= count) return;
  const Count place = n % inner, t = n / inner % want, outer = n / inner / want;
  const float *line = from + (outer * have + first[t]) * inner + place;
  const float *row = weights + t * taps;
  float sum = 0.0f;
  for (int tap = 0; tap < taps; ++tap) sum += row[tap] * line[tap * inner];
  to[n] = sum;
}

// Values `low` and up become `base` and up; where `clip` is not 0, least <= result <= most.
extern "C" __global__ void rescale(float *values, float low, float scale, float base, int clip,
                                   float least, float most, Count count) {
  const Count n = element();
  if (n >= count) return;
  float value = (values[n] - low) * scale + base;
  if (clip) value = fminf(fmaxf(value, least), most);
  values[n] = value;
}

// Mean and variance lie on the device; an image of one value becomes 0.
extern "C" __global__ void zscore(float *values, const double *mean, const double *variance,
                                  Count count) {
  const Count n = element();
  if (n >= count) return;
  const double scale = *variance > 0.0 ? 1.0 / sqrt(*variance) : 0.0;
  values[n] = (values[n] - static_cast<float>(*mean)) * static_cast<float>(scale);
}
