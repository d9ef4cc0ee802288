/* One source for two compilers. NVRTC: a kernel is the work of one thread. Others: loops stand for blocks and threads,
   and a reduction of a block waits for the end of a loop over its threads. Both add in the same order. */
#ifdef __CUDACC_RTC__
#define KERNEL(T) extern "C" __global__ void __launch_bounds__(T)
#define DEVICE static __device__ __forceinline__
#define LANES(T) 1
#define LANE(r) r[0]
#define ITEMS(n) for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < n; k += gridDim.x * blockDim.x)
#define BLOCKS(n) const int block = blockIdx.x;
#define THREADS(T) for (int t = threadIdx.x, once = 1; once; once = 0)
#define INF_ __int_as_float(0x7f800000)
#define NAN_ __int_as_float(0x7fffffff)
#else
#include <cmath>
#define KERNEL(T) extern "C" void
#define DEVICE static inline
#define LANES(T) T
#define LANE(r) r[t]
#define ITEMS(n) for (int k = 0; k < n; k++)
#define BLOCKS(n) for (int block = 0; block < n; block++)
#define THREADS(T) for (int t = 0; t < T; t++)
#define INF_ HUGE_VALF
#define NAN_ NAN
#endif

/* Where a thread works: o is the number of the result, first the first of the elements that are reduced to it. */
#define PLACE_row(T) const int o = block, first = t;
#define PLACE_full(T) const int o = 0, first = t;
#define PLACE_partial(T) const int o = block, first = t;
#define PLACE_column(T) const int o = block * 32 + (t & 31), first = t >> 5;
#define FIRST_row (t == 0)
#define FIRST_full (t == 0)
#define FIRST_partial (t == 0)
#define FIRST_column (t < 32)

DEVICE int least_(int a, int b) { return a < b ? a : b; }
DEVICE int clamp_(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }
DEVICE int index_(long long i, int n) { return clamp_((int)(i < 0 ? i + n : i < n ? i : n), n); }
template <class F> DEVICE F sum_(F a, F b) { return a + b; }
template <class F> DEVICE F max_(F a, F b) { return (a >= b || a != a) ? a : b; }
template <class F> DEVICE F min_(F a, F b) { return (a <= b || a != a) ? a : b; }
template <class F> DEVICE F maximum_(F a, F b) { return max_(a, b); }
template <class F> DEVICE F minimum_(F a, F b) { return min_(a, b); }
template <class F> DEVICE F sign_(F a) { return a > 0 ? (F)1 : a < 0 ? (F)-1 : a == 0 ? (F)0 : a; }
template <class F> DEVICE int searchsorted_(const F* x, int n, F v, bool right) {
  int low = 0, high = n;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (right ? !(v < x[middle]) : (x[middle] < v || v != v)) low = middle + 1; else high = middle;
  }
  return low;
}
#define FUNCTION(name, of_float, of_double) \
  DEVICE float name##_(float a) { return of_float(a); } \
  DEVICE double name##_(double a) { return of_double(a); }
FUNCTION(exp, expf, exp)
FUNCTION(expm1, expm1f, expm1)
FUNCTION(log, logf, log)
FUNCTION(log1p, log1pf, log1p)
FUNCTION(cos, cosf, cos)
FUNCTION(sqrt, sqrtf, sqrt)
FUNCTION(tanh, tanhf, tanh)
/* Functions that users may register (portnn.register_op). */
FUNCTION(sin, sinf, sin)
FUNCTION(tan, tanf, tan)
FUNCTION(asin, asinf, asin)
FUNCTION(acos, acosf, acos)
FUNCTION(atan, atanf, atan)
FUNCTION(sinh, sinhf, sinh)
FUNCTION(cosh, coshf, cosh)
FUNCTION(asinh, asinhf, asinh)
FUNCTION(acosh, acoshf, acosh)
FUNCTION(atanh, atanhf, atanh)
FUNCTION(log2, log2f, log2)
FUNCTION(log10, log10f, log10)
FUNCTION(ceil, ceilf, ceil)
FUNCTION(trunc, truncf, trunc)
FUNCTION(abs, fabsf, fabs)
FUNCTION(round, rintf, rint)
FUNCTION(floor, floorf, floor)
DEVICE int abs_(int a) { return a < 0 ? (int)(0u - (unsigned)a) : a; }

/* Reduce r over the threads of a block, in an order that T alone decides; each thread gets the result.
   row: butterflies within warps, then the warps in their order. column: the threads of each of 32 columns in order. */
#ifdef __CUDACC_RTC__
#define TEAM_row(T, op, F, r) { F v_ = r[0]; \
  for (int d = 16; d; d >>= 1) v_ = op(v_, __shfl_xor_sync(0xffffffffu, v_, d)); \
  if (T > 32) { __shared__ F s_[32]; if ((threadIdx.x & 31) == 0) s_[threadIdx.x >> 5] = v_; __syncthreads(); \
    v_ = s_[0]; for (int w = 1; w < T / 32; w++) v_ = op(v_, s_[w]); __syncthreads(); } \
  r[0] = v_; }
#define TEAM_column(T, op, F, r) { __shared__ F s_[T]; s_[threadIdx.x] = r[0]; __syncthreads(); \
  F v_ = s_[threadIdx.x & 31]; for (int w = 1; w < T / 32; w++) v_ = op(v_, s_[w * 32 + (threadIdx.x & 31)]); \
  __syncthreads(); r[0] = v_; }
#else
#define TEAM_row(T, op, F, r) { F s_[T / 32]; \
  for (int w = 0; w < T / 32; w++) { F v_[32], u_[32]; for (int i = 0; i < 32; i++) v_[i] = r[w * 32 + i]; \
    for (int d = 16; d; d >>= 1) { for (int i = 0; i < 32; i++) u_[i] = op(v_[i], v_[i ^ d]); \
      for (int i = 0; i < 32; i++) v_[i] = u_[i]; } \
    s_[w] = v_[0]; } \
  F x_ = s_[0]; for (int w = 1; w < T / 32; w++) x_ = op(x_, s_[w]); for (int i = 0; i < T; i++) r[i] = x_; }
#define TEAM_column(T, op, F, r) for (int c = 0; c < 32; c++) { \
  F v_ = r[c]; for (int w = 1; w < T / 32; w++) v_ = op(v_, r[w * 32 + c]); \
  for (int w = 0; w < T / 32; w++) r[w * 32 + c] = v_; }
#endif
