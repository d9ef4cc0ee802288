// The branch of the generated source that a GPU runs, under g++: a fiber for each thread of a block. A thread that
// reaches a barrier or a shuffle waits there for all others; a missing barrier reads what is not there yet.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <ucontext.h>
#include <vector>
struct Dim { int x; };
static Dim blockIdx, blockDim, gridDim, threadIdx;
static ucontext_t main_;
static std::vector<ucontext_t> fibers_;
static std::vector<char> state_;  // 0: not begun, 1: waits, 2: has ended
static std::function<void()>* body_;
static void wait_() { int t = threadIdx.x; state_[t] = 1; swapcontext(&fibers_[t], &main_); threadIdx.x = t; }
static void enter_() { int t = threadIdx.x; (*body_)(); state_[t] = 2; swapcontext(&fibers_[t], &main_); }
static void simt_(int grid, int block, int reverse, std::function<void()> body) {
  static std::vector<std::vector<char>> stacks;
  while ((int)stacks.size() < block) stacks.emplace_back(1 << 15);
  gridDim.x = grid; blockDim.x = block; body_ = &body;
  for (int b = 0; b < grid; b++) {
    blockIdx.x = reverse ? grid - 1 - b : b;
    fibers_.assign(block, ucontext_t()); state_.assign(block, 0);
    for (int t = 0; t < block; t++) {
      getcontext(&fibers_[t]);
      fibers_[t].uc_stack.ss_sp = stacks[t].data(); fibers_[t].uc_stack.ss_size = stacks[t].size();
      fibers_[t].uc_link = nullptr;
      makecontext(&fibers_[t], enter_, 0);
    }
    for (int ended = 0; ended < block;) {
      ended = 0; int waiting = 0;
      for (int i = 0; i < block; i++) {
        int t = reverse ? block - 1 - i : i;
        if (state_[t] != 2) { threadIdx.x = t; swapcontext(&main_, &fibers_[t]); }
        ended += state_[t] == 2; waiting += state_[t] == 1;
      }
      if (ended && waiting) { fprintf(stderr, "threads of a block part at a barrier\n"); abort(); }
    }
  }
}
static double slots_[1024];
template <class F> static F __shfl_xor_sync(unsigned, F v, int d) {
  F* s = (F*)slots_; s[threadIdx.x] = v; wait_(); F r = s[threadIdx.x ^ d]; wait_(); return r;
}
static void __syncthreads() { wait_(); }
static float __int_as_float(int i) { float f; __builtin_memcpy(&f, &i, 4); return f; }
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(T)
#define __shared__ static
#define __CUDACC_RTC__ 1
