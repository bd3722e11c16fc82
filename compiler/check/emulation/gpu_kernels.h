// CUDA C as C++ for one processor core. The threads of a block are fibers: each runs until it waits for others
// (a barrier, a shuffle), then the next one runs; blocks run one after the other. Put before TVM's kernels, with
// EMULATED(name, largest block) for each of them after. Only x86-64, and only what TVM writes.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CUDART_INF_F __builtin_inff()
#define CUDART_INF __builtin_inf()
#define CUDART_NAN_F __builtin_nanf("")
#define CUDART_NAN __builtin_nan("")
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define DYNO_SHARED static __attribute__((section("dyno_shared")))
typedef _Float16 half; // the cast of one, and of nothing else: all is computed in float32
typedef unsigned int uint;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef signed char schar;
typedef long long longlong;
typedef unsigned long long ulonglong;

#define DYNO_VECTORS(T, name)                                                            \
  struct alignas(sizeof(T)) name##1 { T x; };                                            \
  struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                     \
  struct name##3 { T x, y, z; };                                                         \
  struct alignas(sizeof(T) == 8 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; };         \
  static inline name##1 make_##name##1(T x) { return {x}; }                              \
  static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                      \
  static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }              \
  static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
DYNO_VECTORS(schar, char)
DYNO_VECTORS(uchar, uchar)
DYNO_VECTORS(short, short)
DYNO_VECTORS(ushort, ushort)
DYNO_VECTORS(int, int)
DYNO_VECTORS(uint, uint)
DYNO_VECTORS(longlong, longlong)
DYNO_VECTORS(ulonglong, ulonglong)
DYNO_VECTORS(float, float)
DYNO_VECTORS(double, double)

template <class A, class B> static inline auto max(A a, B b) -> decltype(a + b) { return a > b ? a : b; }
template <class A, class B> static inline auto min(A a, B b) -> decltype(a + b) { return a < b ? a : b; }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline float min(float a, float b) { return fminf(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline int __popc(uint a) { return __builtin_popcount(a); }
template <class T> static inline T __ldg(const T *place) { return *place; }

namespace dyno {
const unsigned MOST_THREADS = 1024, WARP = 32, STACK_BYTES = 128 << 10, SHARED_BYTES = 48 << 10;
const unsigned MOST_GRID_YZ = 65535;
struct Place { unsigned x, y, z; };
struct Barrier { unsigned arrived, generation; };
struct Fiber {
  void *stack_pointer;
  Place place;
  Barrier *waits_for;
  unsigned generation, shuffles;
  bool ended;
};
static Fiber fibers[MOST_THREADS], *current;
static unsigned threads, live, live_in_warp[MOST_THREADS / WARP];
static Barrier block, warps[MOST_THREADS / WARP];
static unsigned char slots[2][MOST_THREADS][16];  // what shuffles exchange; two, so that one barrier is enough
static char *stacks;
static void *scheduler, (*entry)(void), **arguments_now;
static bool backwards;  // another order of the threads: nothing may change

extern "C" void dyno_switch(void **from, void *to);
asm(R"(
.text
.type dyno_switch, @function
dyno_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size dyno_switch, .-dyno_switch
)");
}  // namespace dyno
static dyno::Place threadIdx, blockIdx, blockDim, gridDim;

namespace dyno {
static inline unsigned number() { return current - fibers; }
static bool release(Barrier &barrier, unsigned expected) {
  if (!barrier.arrived || barrier.arrived < expected) return false;
  barrier.arrived = 0;
  barrier.generation++;
  return true;
}
static void wait(Barrier &barrier, unsigned expected) {
  unsigned generation = barrier.generation;
  barrier.arrived++;
  if (release(barrier, expected)) return;
  current->waits_for = &barrier;
  current->generation = generation;
  dyno_switch(&current->stack_pointer, scheduler);
}
static void leave() {  // a thread that has ended is no longer waited for
  unsigned warp = number() / WARP;
  current->ended = true;
  release(block, --live);
  release(warps[warp], --live_in_warp[warp]);
  void *unused;
  dyno_switch(&unused, scheduler);
}
static void run_thread() {
  entry();
  leave();
}
static void start(unsigned thread, Place place) {
  Fiber &fiber = fibers[thread];
  void **top = (void **)(stacks + (size_t)(thread + 1) * STACK_BYTES) - 2;
  top[0] = (void *)run_thread;  // where the first switch returns to; the ABI wants 8 bytes past a multiple of 16
  fiber = {top - 6, place, nullptr, 0, 0, false};
  live_in_warp[thread / WARP]++;
}
// Runs the threads of one block to their end; false where some wait for what never comes.
static bool run_block() {
  memset(live_in_warp, 0, sizeof live_in_warp);
  memset(warps, 0, sizeof warps);
  block = {0, 0};
  live = threads;
  for (unsigned t = 0; t < threads; t++)
    start(t, {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y});
  while (live) {
    bool moved = false;
    for (unsigned step = 0; step < threads; step++) {
      Fiber &fiber = fibers[backwards ? threads - 1 - step : step];
      if (fiber.ended || (fiber.waits_for && fiber.waits_for->generation == fiber.generation)) continue;
      moved = true;
      fiber.waits_for = nullptr;
      current = &fiber;
      threadIdx = fiber.place;
      dyno_switch(&scheduler, fiber.stack_pointer);
    }
    if (!moved) return false;
  }
  return true;
}
template <class T> static T exchange(T value, int lane, int width) {
  static_assert(sizeof(T) <= 16, "what is exchanged is larger than a slot");
  unsigned me = number(), half = current->shuffles++ & 1, warp = me / WARP;
  memcpy(slots[half][me], &value, sizeof value);
  wait(warps[warp], live_in_warp[warp]);
  int first = me % WARP / width * width, from = lane;
  if (from >= first && from < first + width && warp * WARP + from < threads)
    memcpy(&value, slots[half][warp * WARP + from], sizeof value);
  return value;
}
static inline int lane() { return number() % WARP; }

extern "C" unsigned char __start_dyno_shared[] __attribute__((weak)), __stop_dyno_shared[] __attribute__((weak));
static int refuse(char *why, const char *text, unsigned a, unsigned b) {
  snprintf(why, 512, text, a, b);
  return 1;
}
// Runs a whole grid; `dims` are its x y z, the block's x y z, and bytes of shared memory asked for at launch.
static int launch(const unsigned *dims, void **arguments, char *why, void (*kernel)(), unsigned most, bool waits) {
  gridDim = {dims[0], dims[1], dims[2]};
  blockDim = {dims[3], dims[4], dims[5]};
  threads = blockDim.x * blockDim.y * blockDim.z;
  if (!threads || threads > most || threads > MOST_THREADS)
    return refuse(why, "%u threads in a block, compiled for %u at most", threads, most);
  if (gridDim.y > MOST_GRID_YZ || gridDim.z > MOST_GRID_YZ)
    return refuse(why, "a grid of %u x %u blocks in y and z is too large", gridDim.y, gridDim.z);
  if (dims[6] > SHARED_BYTES) return refuse(why, "%u bytes of shared memory, %u at most", dims[6], SHARED_BYTES);
  if (!stacks) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    stacks = (char *)mmap(0, (size_t)MOST_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (stacks == MAP_FAILED) return refuse(why, "no memory for the stacks", 0, 0);
    backwards = getenv("DYNO_GPU_BACKWARDS");
  }
  arguments_now = arguments;
  entry = kernel;
  if (__start_dyno_shared) memset(__start_dyno_shared, 0xff, __stop_dyno_shared - __start_dyno_shared);  // NaN
  unsigned long blocks = (unsigned long)gridDim.x * gridDim.y * gridDim.z;
  for (unsigned long step = 0; step < blocks; step++) {
    unsigned long b = backwards ? blocks - 1 - step : step;
    blockIdx = {(unsigned)(b % gridDim.x), (unsigned)(b / gridDim.x % gridDim.y),
                (unsigned)(b / gridDim.x / gridDim.y)};
    if (waits) {
      if (!run_block()) return refuse(why, "block %u: %u threads wait for others that do not come", b, live);
      continue;
    }
    for (unsigned z = 0; z < blockDim.z; z++)
      for (unsigned y = 0; y < blockDim.y; y++)
        for (unsigned x = 0; x < blockDim.x; x++) {
          threadIdx = {x, y, z};
          kernel();
        }
  }
  return 0;
}
}  // namespace dyno

static inline void __syncthreads() { dyno::wait(dyno::block, dyno::live); }
static inline void __syncwarp(unsigned = ~0u) {
  unsigned warp = dyno::number() / dyno::WARP;
  dyno::wait(dyno::warps[warp], dyno::live_in_warp[warp]);
}
// All of a warp that have not ended: what is active inside of a branch only the hardware knows.
static inline unsigned __activemask() {
  unsigned n = dyno::live_in_warp[dyno::number() / dyno::WARP];
  return n == 32 ? ~0u : (1u << n) - 1;
}
template <class T> static inline T __shfl_sync(unsigned, T value, int from, int width = 32) {
  return dyno::exchange(value, dyno::lane() / width * width + from % width, width);
}
template <class T> static inline T __shfl_down_sync(unsigned, T value, int by, int width = 32) {
  return dyno::exchange(value, dyno::lane() + by, width);
}
template <class T> static inline T __shfl_up_sync(unsigned, T value, int by, int width = 32) {
  return dyno::exchange(value, dyno::lane() - by, width);
}
template <class T> static inline T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
  return dyno::exchange(value, dyno::lane() ^ mask, width);
}
