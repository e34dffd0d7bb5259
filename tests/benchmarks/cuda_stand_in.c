/* A stand-in for CUDA's runtime and cuBLAS on a machine without a GPU: one device that hands out addresses and computes
 * nothing. PyTorch's own CUDA build runs on it, so that its caching allocator, its memory history and the code that
 * decides what each operation asks for are the real ones. What a kernel leaves in memory is zero; a single byte, which
 * is how a yes or no is read, is one. Functions of the runtime that are not here do nothing and succeed.
 */
#define _GNU_SOURCE
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SPACE (1ull << 42) /* addresses that are reserved; pages are taken where they are touched, and none is */
#define PAGE (2ull << 20)

static size_t number(const char *name, size_t otherwise) {
  const char *text = getenv(name);
  return text ? strtoull(text, 0, 10) : otherwise;
}
static size_t total_bytes(void) { return number("STAND_IN_BYTES", 85520809984ull); } /* an H100's */
static size_t context_bytes(void) { return number("STAND_IN_CONTEXT_BYTES", 500ull << 20); }
static int major(void) { return number("STAND_IN_MAJOR", 9); }
static int minor(void) { return number("STAND_IN_MINOR", 0); }

struct segment { void *start; size_t size; struct segment *next; };
static struct segment *segments = 0;
static size_t used = 0;
static uintptr_t base = 0, next_start = 0;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread cudaError_t last = cudaSuccess;

cudaError_t cudaMalloc(void **start, size_t size) {
  size = (size + PAGE - 1) / PAGE * PAGE;
  pthread_mutex_lock(&lock);
  if (!base) {
    base = (uintptr_t)mmap(0, SPACE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == (uintptr_t)MAP_FAILED) abort();
    next_start = (base + PAGE - 1) / PAGE * PAGE;
  }
  if (used + size + context_bytes() > total_bytes()) {
    last = cudaErrorMemoryAllocation;
    pthread_mutex_unlock(&lock);
    return last;
  }
  struct segment *made = malloc(sizeof *made);
  *made = (struct segment){(void *)next_start, size, segments};
  segments = made, used += size, next_start += size, *start = made->start;
  pthread_mutex_unlock(&lock);
  return cudaSuccess;
}

cudaError_t cudaFree(void *start) {
  pthread_mutex_lock(&lock);
  for (struct segment **at = &segments; *at; at = &(*at)->next)
    if ((*at)->start == start) {
      struct segment *gone = *at;
      used -= gone->size, *at = gone->next;
      free(gone);
      break;
    }
  pthread_mutex_unlock(&lock);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
  *total = total_bytes(), *free_bytes = *total - used - context_bytes();
  return cudaSuccess;
}

static int is_on_device(const void *at) { return base && (uintptr_t)at >= base && (uintptr_t)at < base + SPACE; }

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream) {
  if (is_on_device(to)) return cudaSuccess;
  if (is_on_device(from)) memset(to, size == 1, size);
  else memcpy(to, from, size);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, size, kind, 0);
}

cudaError_t cudaGetDeviceCount(int *count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int *device) { return *device = 0, cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *card, int device) {
  memset(card, 0, sizeof *card);
  snprintf(card->name, sizeof card->name, "stand-in without a GPU, %d.%d", major(), minor());
  card->totalGlobalMem = total_bytes();
  card->major = major(), card->minor = minor(), card->multiProcessorCount = 132, card->warpSize = 32;
  card->maxThreadsPerBlock = card->maxThreadsDim[0] = card->maxThreadsDim[1] = 1024, card->maxThreadsDim[2] = 64;
  card->maxGridSize[0] = 2147483647, card->maxGridSize[1] = card->maxGridSize[2] = 65535;
  card->sharedMemPerBlock = 49152, card->sharedMemPerBlockOptin = 232448, card->sharedMemPerMultiprocessor = 233472;
  card->regsPerBlock = card->regsPerMultiprocessor = 65536, card->maxThreadsPerMultiProcessor = 2048;
  card->l2CacheSize = 50 << 20, card->maxBlocksPerMultiProcessor = 32, card->textureAlignment = 512;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
  struct cudaDeviceProp card;
  cudaGetDeviceProperties(&card, device);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = card.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = card.minor; break;
    case cudaDevAttrMultiProcessorCount: *value = card.multiProcessorCount; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = card.sharedMemPerBlockOptin; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = card.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = card.maxThreadsPerBlock; break;
    case cudaDevAttrWarpSize: *value = card.warpSize; break;
    default: *value = 1;
  }
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device) { return snprintf(id, length, "0"), cudaSuccess; }
cudaError_t cudaDeviceGetStreamPriorityRange(int *low, int *high) { return *low = 0, *high = -5, cudaSuccess; }
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) { return *can = 0, cudaSuccess; }
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *found, const void *at) {
  memset(found, 0, sizeof *found);
  found->type = is_on_device(at) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return found->devicePointer = (void *)at, cudaSuccess;
}

cudaError_t cudaPeekAtLastError(void) { return last; }
cudaError_t cudaGetLastError(void) {
  cudaError_t error = last;
  return last = cudaSuccess, error;
}
const char *cudaGetErrorName(cudaError_t error) { return error == cudaSuccess ? "cudaSuccess" : "cudaError"; }
const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "an error of the stand-in";
}

cudaError_t cudaHostAlloc(void **start, size_t size, unsigned flags) { return *start = malloc(size + 1), cudaSuccess; }
cudaError_t cudaFreeHost(void *start) { return free(start), cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t *event) { return *event = malloc(8), cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) { return cudaEventCreate(event); }
cudaError_t cudaEventElapsedTime(float *time, cudaEvent_t a, cudaEvent_t b) { return *time = 0, cudaSuccess; }
cudaError_t cudaStreamCreate(cudaStream_t *stream) { return *stream = malloc(8), cudaSuccess; }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned f, int p) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority) { return *priority = 0, cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *is) {
  return *is = cudaStreamCaptureStatusNone, cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *is, unsigned long long *id,
                                     cudaGraph_t *g, const cudaGraphNode_t **n, const cudaGraphEdgeData **e, size_t *c) {
  return *is = cudaStreamCaptureStatusNone, cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *found, const void *function) {
  memset(found, 0, sizeof *found);
  found->maxThreadsPerBlock = 1024, found->numRegs = 32, found->maxDynamicSharedSizeBytes = 232448;
  return found->binaryVersion = found->ptxVersion = 10 * major() + minor(), cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *f, int threads, size_t shared) {
  return *blocks = 2, cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *f, int t, size_t s,
                                                                   unsigned flags) {
  return *blocks = 2, cudaSuccess;
}
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long f,
                                             enum cudaDriverEntryPointQueryResult *found) {
  if (found) *found = cudaDriverEntryPointSymbolNotFound;
  return *function = 0, cudaSuccess;
}
void **__cudaRegisterFatBinary(void *binary) {
  static void *handle;
  return &handle;
}
cudaError_t __cudaGetKernel(void **kernel, const void *function) { return *kernel = (void *)function, cudaSuccess; }

int cublasCreate_v2(void **handle) { return *handle = malloc(8), 0; }
int cublasGetMathMode(void *handle, int *mode) { return *mode = 0, 0; }
int cublasGetPointerMode_v2(void *handle, int *mode) { return *mode = 0, 0; }
int cublasLtMatmulDescCreate(void **made, int compute, int scale) { return *made = calloc(1, 512), 0; }
int cublasLtMatmulPreferenceCreate(void **made) { return *made = calloc(1, 512), 0; }
int cublasLtMatrixLayoutCreate(void **made, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  return *made = calloc(1, 512), 0;
}
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *what, void *a, void *b, void *c, void *d, void *preference,
                                   int most, void *results, int *found) {
  return *found = 1, 0;
}
