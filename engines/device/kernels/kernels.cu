// All kernels in one translation unit, so that one file holds them.
#include "prepare.cu"
#include "statistics.cu"
#include "windows.cu"
#include "labels.cu"
