/* The CUDA calls that TVM's runtime makes, on a processor: one library in place of libcudart.so.13 and
   libcuda.so.1. Memory is the process's own, filled with NaN; streams are the calling thread. Kernels come from the
   library that $DYNO_GPU_KERNELS names, made with gpu_kernels.h. Arguments are as in CUDA 13's headers. */

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500, LAUNCH_FAILED = 719 };
enum { MAX_THREADS_PER_BLOCK = 1, MAX_SHARED = 8, WARP_SIZE = 10, MAJOR = 75, MINOR = 76 };
enum { SHARED_BYTES = 48 << 10, FROM_GPU = 2 };
typedef int (*Kernel)(const unsigned *dims, void **arguments, char *why);
typedef struct {
  unsigned dims[7]; /* grid x y z, block x y z, bytes of shared memory */
  void *stream, *attributes;
  unsigned attribute_count;
} LaunchConfig;
static char told[512] = "no error";

static int attribute(int *value, int which) {
  const char *text = getenv("DYNO_GPU_CAPABILITY"); /* 80 for 8.0 */
  int capability = text ? atoi(text) : 0;
  switch (which) {
    case MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case MAX_SHARED: *value = SHARED_BYTES; break;
    case WARP_SIZE: *value = 32; break;
    case MAJOR: *value = capability / 10; break;
    case MINOR: *value = capability % 10; break;
    default: *value = 1;
  }
  return OK;
}

int cudaMalloc(void **place, size_t bytes) {
  size_t whole = (bytes + 255) & ~(size_t)255;
  *place = aligned_alloc(256, whole ? whole : 256);
  if (!*place) return OUT_OF_MEMORY;
  memset(*place, 0xff, whole ? whole : 256); /* NaN: what is read before it is written must show */
  return OK;
}
int cudaFree(void *place) { free(place); return OK; }
int cudaMallocHost(void **place, size_t bytes) { return cudaMalloc(place, bytes); }
int cudaFreeHost(void *place) { return cudaFree(place); }
int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream) {
  memmove(to, from, bytes);
  return OK;
}
int cudaMemcpyPeerAsync(void *to, int there, const void *from, int here, size_t bytes, void *stream) {
  return cudaMemcpyAsync(to, from, bytes, 0, stream);
}
int cudaMemGetInfo(size_t *unused, size_t *all) { *unused = *all = (size_t)1 << 33; return OK; }
int cudaGetDevice(int *device) { *device = 0; return OK; }
int cudaSetDevice(int device) { return device ? INVALID : OK; }
int cudaGetDeviceCount(int *count) { *count = 1; return OK; }
int cudaDeviceGetAttribute(int *value, int which, int device) { return attribute(value, which); }
int cudaGetDeviceProperties(char *properties, int device) { strcpy(properties, "emulated GPU"); return OK; }
int cudaGetLastError(void) { return OK; }
int cudaPeekAtLastError(void) { return OK; }
const char *cudaGetErrorString(int error) { return error ? told : "no error"; }
const char *cudaGetErrorName(int error) { return error ? "emulated CUDA error" : "cudaSuccess"; }
int cudaStreamCreate(void **stream) { *stream = 0; return OK; }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { *stream = 0; return OK; }
int cudaStreamDestroy(void *stream) { return OK; }
int cudaStreamSynchronize(void *stream) { return OK; }
int cudaStreamWaitEvent(void *stream, void *event, unsigned flags) { return OK; }
int cudaEventCreate(void **event) { *event = 0; return OK; }
int cudaEventDestroy(void *event) { return OK; }
int cudaEventRecord(void *event, void *stream) { return OK; }
int cudaEventSynchronize(void *event) { return OK; }
/* No times and no graphs: whoever asks for them gets an error. */
int cudaEventElapsedTime(float *ms, void *from, void *to) { return INVALID; }
int cudaStreamBeginCapture(void *stream, int mode) { return INVALID; }
int cudaStreamEndCapture(void *stream, void **graph) { return INVALID; }
int cudaGraphInstantiate(void **made, void *graph, unsigned long long flags) { return INVALID; }
int cudaGraphLaunch(void *made, void *stream) { return INVALID; }
int cudaGraphExecDestroy(void *made) { return INVALID; }
int cudaGraphDestroy(void *graph) { return INVALID; }

int cuInit(unsigned flags) { return OK; }
int cuDeviceGet(int *device, int number) { *device = number; return number ? INVALID : OK; }
int cuDeviceGetAttribute(int *value, int which, int device) { return attribute(value, which); }
int cuDeviceGetName(char *name, int bytes, int device) { strncpy(name, "emulated GPU", bytes); return OK; }
int cuGetErrorName(int error, const char **name) { *name = "emulated CUDA error"; return OK; }
int cuGetErrorString(int error, const char **text) { *text = told; return OK; }
int cuTensorMapEncodeTiled(void) { return INVALID; }
int cuModuleUnload(void *module) { return OK; }
int cuFuncSetAttribute(void *function, int which, int value) { return value <= SHARED_BYTES ? OK : INVALID; }
int cuModuleLoadData(void **module, const void *image) {
  const char *path = getenv("DYNO_GPU_KERNELS");
  *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : 0;
  if (!*module) strncpy(told, path ? dlerror() : "DYNO_GPU_KERNELS is not set", sizeof told - 1);
  return *module ? OK : INVALID;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  char symbol[1024] = "emulated_";
  strncat(symbol, name, sizeof symbol - 16);
  *function = dlsym(module, symbol);
  if (!*function) strncpy(told, dlerror(), sizeof told - 1);
  return *function ? OK : NOT_FOUND;
}
int cuLaunchKernelEx(const LaunchConfig *config, void *function, void **arguments, void **extra) {
  return ((Kernel)function)(config->dims, arguments, told) ? LAUNCH_FAILED : OK;
}
