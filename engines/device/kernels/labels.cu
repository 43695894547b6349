// From blended sums to labels on the source's voxels.
#include "index.cuh"

enum Activation { NONE = 0, SOFTMAX = 1, SIGMOID = 2 };

__device__ inline float sigmoid(float logit) {
  // exp of a positive logit would overflow.
  const float small = expf(-fabsf(logit));
  const float large = 1.0f / (1.0f + small);
  return logit >= 0.0f ? large : small * large;
}

// Slices `first` and on of the slab (channels, depth, rows, columns) become probabilities, in
// place. cover_k[0] belongs to slice `first`.
extern "C" __global__ void activate(float *slab, int channels, int depth, int rows, int columns,
                                    int first, const float *cover_k, const float *cover_j,
                                    const float *cover_i, int activation, Count count) {
  const Count n = element();
  if (n >= count) return;
  const Count plane = static_cast<Count>(rows) * columns, step = depth * plane;
  const float cover = cover_k[n / plane] * cover_j[n / columns % rows] * cover_i[n % columns];
  float *voxel = slab + first * plane + n;
  float most = -INFINITY;
  for (int channel = 0; channel < channels; ++channel) {
    const float value = voxel[channel * step] / cover;
    most = fmaxf(most, value);
    if (activation == NONE) voxel[channel * step] = fminf(fmaxf(value, 0.0f), 1.0f);
    if (activation == SIGMOID) voxel[channel * step] = sigmoid(value);
    if (activation == SOFTMAX) voxel[channel * step] = value;
  }
  if (activation != SOFTMAX) return;
  float sum = 0.0f;
  for (int channel = 0; channel < channels; ++channel) {
    const float power = expf(voxel[channel * step] - most);
    voxel[channel * step] = power;
    sum += power;
  }
  for (int channel = 0; channel < channels; ++channel) voxel[channel * step] /= sum;
}

// The label of each turned source voxel from slice `start` on: probabilities are interpolated
// linearly along k, j and i, and the highest wins if it exceeds `least`, or, where they are
// `painted`, the last of those that exceed it; `names` (256) maps
// channel + lowest to the label. Tables are as in `resample`; slice 0 of the slab is canvas slice
// `base`. The label is stored at origin + k step_k + j step_j + i step_i of the source.
extern "C" __global__ void label(const float *slab, int channels, int depth, int rows, int columns,
                                 int base, const int *first_k, const float *weights_k, int taps_k,
                                 const int *first_j, const float *weights_j, int taps_j,
                                 const int *first_i, const float *weights_i, int taps_i, int start,
                                 int source_rows, int source_columns, float least, int lowest,
                                 int painted, const unsigned char *names, Count origin, Count step_k,
                                 Count step_j, Count step_i, Count count, unsigned char *labels) {
  const Count n = element();
  if (n >= count) return;
  const Count i = n % source_columns, j = n / source_columns % source_rows;
  const Count k = start + n / source_columns / source_rows;
  const float *along_k = weights_k + k * taps_k, *along_j = weights_j + j * taps_j;
  const float *along_i = weights_i + i * taps_i;
  const Count plane = static_cast<Count>(rows) * columns;
  const float *corner = slab + (first_k[k] - base) * plane +
                        static_cast<Count>(first_j[j]) * columns + first_i[i];
  int found = 0;
  for (int channel = 0; channel < channels; ++channel, corner += depth * plane) {
    float value = 0.0f;
    for (int z = 0; z < taps_k; ++z) {
      if (along_k[z] == 0.0f) continue;  // perhaps a slice that is not final yet
      float slice = 0.0f;
      for (int y = 0; y < taps_j; ++y) {
        float line = 0.0f;
        for (int x = 0; x < taps_i; ++x) line += along_i[x] * corner[z * plane + y * columns + x];
        slice += along_j[y] * line;
      }
      value += along_k[z] * slice;
    }
    if (value > least) {
      if (!painted) least = value;
      found = channel + lowest;
    }
  }
  labels[origin + k * step_k + j * step_j + i * step_i] = names[found];
}
