// Sums and extremes in two steps: each thread walks its share, then one thread walks the shares.
// No order depends on timing, so the same voxels always give the same numbers.
#include "index.cuh"

// Where `squares` is not 0, the squared distances from *mean are summed, else the values.
extern "C" __global__ void partial_sums(const float *values, const double *mean, int squares,
                                        int parts, Count count, double *partials) {
  const Count part = element();
  if (part >= parts) return;
  double sum = 0.0;
  for (Count n = part; n < count; n += parts) {
    const double value = squares ? values[n] - *mean : values[n];
    sum += squares ? value * value : value;
  }
  partials[part] = sum;
}

extern "C" __global__ void mean_of_sums(const double *partials, int parts, Count count,
                                        double *mean) {
  if (element() > 0) return;
  double sum = 0.0;
  for (int part = 0; part < parts; ++part) sum += partials[part];
  *mean = sum / count;
}

extern "C" __global__ void partial_minima(const float *values, int parts, Count count,
                                          float *partials) {
  const Count part = element();
  if (part >= parts) return;
  float least = INFINITY;
  for (Count n = part; n < count; n += parts) least = fminf(least, values[n]);
  partials[part] = least;
}

extern "C" __global__ void minimum(const float *partials, int parts, float *least) {
  if (element() > 0) return;
  float found = INFINITY;
  for (int part = 0; part < parts; ++part) found = fminf(found, partials[part]);
  *least = found;
}
