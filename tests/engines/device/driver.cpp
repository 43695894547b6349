// A CUDA driver whose device is the host: enough of libcuda.so.1 for the contract of
// engines/device/api.py. It stands behind the kernels that compile_host builds.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <string>
#include <vector>

typedef unsigned long long Pointer;
typedef std::vector<std::function<void()>> Work;

enum { SUCCESS = 0, INVALID = 1, NO_MEMORY = 2, NOT_FOUND = 500 };

static const std::size_t ROOM = std::size_t(1) << 30;
static std::size_t used = 0;
static Work *captured = nullptr;

struct Function {
  void (*run)(Extent, Extent, void **);
  std::string letters;
};

static int queue(std::function<void()> work) {
  if (captured)
    captured->push_back(work);
  else
    work();
  return SUCCESS;
}

#define CALL EXPORTED int

CALL cuInit(unsigned) { return SUCCESS; }
CALL cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
CALL cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
CALL cuDeviceGet(int *device, int index) {
  return *device = index, index == 0 ? SUCCESS : 101;
}
CALL cuDeviceGetName(char *name, int, int) { return std::strcpy(name, "stub"), SUCCESS; }
CALL cuDeviceGetAttribute(int *value, int attribute, int) {
  return *value = attribute == 75 ? 9 : 0, SUCCESS;  // compute capability 9.0
}
CALL cuDeviceComputeCapability(int *major, int *minor, int) {
  return *major = 9, *minor = 0, SUCCESS;
}
CALL cuDevicePrimaryCtxRetain(void **context, int) { return *context = &used, SUCCESS; }
CALL cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
CALL cuCtxPushCurrent_v2(void *) { return SUCCESS; }
CALL cuCtxPopCurrent_v2(void **context) { return *context = &used, SUCCESS; }
CALL cuCtxGetDevice(int *device) { return *device = 0, SUCCESS; }

CALL cuMemGetInfo_v2(std::size_t *free, std::size_t *total) {
  return *free = ROOM - used, *total = ROOM, SUCCESS;
}
CALL cuMemAlloc_v2(Pointer *pointer, std::size_t size) {
  if (size > ROOM - used) return NO_MEMORY;
  char *block = static_cast<char *>(std::aligned_alloc(256, (size + 511) / 256 * 256));
  std::memcpy(block, &size, sizeof size);
  used += size;
  return *pointer = reinterpret_cast<Pointer>(block + 256), SUCCESS;
}
CALL cuMemFree_v2(Pointer pointer) {
  char *block = reinterpret_cast<char *>(pointer) - 256;
  std::size_t size;
  std::memcpy(&size, block, sizeof size);
  used -= size;
  return std::free(block), SUCCESS;
}
CALL cuMemAllocHost_v2(void **address, std::size_t size) {
  return *address = std::malloc(size), SUCCESS;
}
CALL cuMemHostAlloc(void **address, std::size_t size, unsigned) {
  return *address = std::malloc(size), SUCCESS;
}
CALL cuMemFreeHost(void *address) { return std::free(address), SUCCESS; }

CALL cuStreamCreate(void **stream, unsigned) { return *stream = std::malloc(1), SUCCESS; }
CALL cuStreamDestroy_v2(void *stream) { return std::free(stream), SUCCESS; }
CALL cuStreamSynchronize(void *) { return SUCCESS; }
CALL cuStreamWaitEvent(void *, void *, unsigned) { return SUCCESS; }
typedef std::chrono::steady_clock Clock;
CALL cuEventCreate(void **event, unsigned) { return *event = new Clock::time_point, SUCCESS; }
CALL cuEventRecord(void *event, void *) {
  return *static_cast<Clock::time_point *>(event) = Clock::now(), SUCCESS;
}
CALL cuEventElapsedTime_v2(float *milliseconds, void *first, void *second) {
  std::chrono::duration<float, std::milli> passed =
      *static_cast<Clock::time_point *>(second) - *static_cast<Clock::time_point *>(first);
  return *milliseconds = passed.count(), SUCCESS;
}
CALL cuEventDestroy_v2(void *event) {
  return delete static_cast<Clock::time_point *>(event), SUCCESS;
}

CALL cuMemcpyHtoDAsync_v2(Pointer to, const void *from, std::size_t size, void *) {
  return queue([=] { std::memcpy(reinterpret_cast<void *>(to), from, size); });
}
CALL cuMemcpyDtoHAsync_v2(void *to, Pointer from, std::size_t size, void *) {
  return queue([=] { std::memcpy(to, reinterpret_cast<void *>(from), size); });
}
CALL cuMemsetD8Async(Pointer to, unsigned char value, std::size_t size, void *) {
  return queue([=] { std::memset(reinterpret_cast<void *>(to), value, size); });
}

CALL cuModuleLoadData(void **module, const void *) { return *module = &used, SUCCESS; }
CALL cuModuleLoadDataEx(void **module, const void *, unsigned, void *, void **) {
  return *module = &used, SUCCESS;
}
CALL cuModuleUnload(void *) { return SUCCESS; }
CALL cuModuleGetFunction(void **function, void *, const char *name) {
  void *own = dlopen("libcuda.so.1", RTLD_LAZY);
  void *run = dlsym(own, (std::string("run_") + name).c_str());
  if (!run) return NOT_FOUND;
  auto letters = reinterpret_cast<const char *(*)()>(
      dlsym(own, (std::string("letters_of_") + name).c_str()));
  *function = new Function{reinterpret_cast<void (*)(Extent, Extent, void **)>(run), letters()};
  return SUCCESS;
}

CALL cuFuncSetBlockShape(void *, int, int, int) { return SUCCESS; }

// Arguments come one by one, or packed: `extra` is 1, bytes, 2, their number, 0.
CALL cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                    unsigned block_x, unsigned block_y, unsigned block_z, unsigned, void *,
                    void **arguments, void **extra) {
  const Function kernel = *static_cast<Function *>(function);
  std::vector<unsigned long long> values;
  std::size_t offset = 0;
  for (std::size_t n = 0; n < kernel.letters.size(); ++n) {
    const char letter = kernel.letters[n];
    const std::size_t size = letter == 'p' || letter == 'q' ? 8 : 4;
    offset = (offset + size - 1) / size * size;
    values.push_back(0);
    std::memcpy(&values.back(), extra ? static_cast<char *>(extra[1]) + offset : arguments[n], size);
    offset += size;
  }
  if (extra && offset != *static_cast<std::size_t *>(extra[3])) return INVALID;
  const Extent grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
  return queue([=]() mutable {
    std::vector<void *> addresses;
    for (auto &value : values) addresses.push_back(&value);
    kernel.run(grid, block, addresses.data());
  });
}

CALL cuStreamBeginCapture_v2(void *, int mode) {
  return captured = new Work, mode == 1 ? SUCCESS : INVALID;  // 1: this thread only
}
CALL cuStreamEndCapture(void *, void **graph) {
  return *graph = captured, captured = nullptr, SUCCESS;
}
CALL cuGraphInstantiateWithFlags(void **ready, void *graph, unsigned long long) {
  return *ready = new Work(*static_cast<Work *>(graph)), SUCCESS;
}
CALL cuGraphLaunch(void *ready, void *) {
  for (auto &work : *static_cast<Work *>(ready)) work();
  return SUCCESS;
}
CALL cuGraphExecDestroy(void *ready) { return delete static_cast<Work *>(ready), SUCCESS; }
CALL cuGraphDestroy(void *graph) { return delete static_cast<Work *>(graph), SUCCESS; }

CALL cuGetErrorName(int, const char **name) { return *name = "CUDA_ERROR", SUCCESS; }
CALL cuGetErrorString(int, const char **text) { return *text = "an error", SUCCESS; }

CALL cuGetProcAddress_v2(const char *name, void **found, int, unsigned long long, int *status) {
  void *own = dlopen("libcuda.so.1", RTLD_LAZY);
  *found = nullptr;
  for (const char *version : {"_v2", ""})
    if (!*found) *found = dlsym(own, (std::string(name) + version).c_str());
  if (status) *status = *found ? 0 : 1;
  return *found ? SUCCESS : NOT_FOUND;
}
