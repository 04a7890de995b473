// The instructions of compute capability 9.0 that a product is made of, one function each: barriers
// in shared memory, bulk tensor copies, warpgroup products, registers, clusters (PTX ISA 8.x).
//
// Addresses in shared memory are 32 bits wide, as __cvta_generic_to_shared gives them. Compiles for
// sm_90a alone.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "octet/numeric.hpp"

namespace octet::cuda {

/// What a wait may take before the kernel gives up, in cycles: some seconds. A pipeline that is
/// wrong traps instead of occupying the device for ever.
inline constexpr long long kPatienceCycles = 1ll << 33;

__device__ __forceinline__ void init_barrier(unsigned barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
/// Makes initialized barriers visible to the cluster and to the copy engine.
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/// Arrives, and makes the phase wait for `bytes` to be copied as well.
__device__ __forceinline__ void arrive_and_expect(unsigned barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
/// Arrives at the barrier that lies at the same address in block `rank` of the cluster. What it
/// orders are products that have been waited for and bulk copies: the block's own scope is enough,
/// and that of the cluster would flush caches.
__device__ __forceinline__ void arrive_at(unsigned barrier, unsigned rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(barrier),
      "r"(rank)
      : "memory");
}
__device__ __forceinline__ bool phase_is_complete(unsigned barrier, unsigned parity) {
  unsigned complete;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(complete)
      : "r"(barrier), "r"(parity)
      : "memory");
  return complete != 0;
}
/// Waits until the barrier's phase of this parity is complete. A fresh barrier counts as having
/// completed a phase of parity 1.
__device__ __forceinline__ void wait_for_phase(unsigned barrier, unsigned parity) {
  if (phase_is_complete(barrier, parity)) return;
  const long long start = clock64();
  while (!phase_is_complete(barrier, parity)) {
    if (clock64() - start > kPatienceCycles) __trap();
  }
}

/// A barrier of `threads` threads of the block; 0 is __syncthreads' own.
__device__ __forceinline__ void sync_threads(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
/// Counts for the barrier without waiting at it.
__device__ __forceinline__ void signal_threads(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

__device__ __forceinline__ unsigned rank_in_cluster() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ __forceinline__ void sync_cluster() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}

/// Waits for the kernels that this one was launched to overlap, if any, and their writes.
__device__ __forceinline__ void wait_for_earlier_kernels() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}
/// Lets a kernel that was launched to overlap this one start.
__device__ __forceinline__ void release_later_kernels() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

__device__ __forceinline__ void prefetch(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<std::uint64_t>(&map)) : "memory");
}
/// Copies the map's box at (column, row) to `target`; its bytes count for `barrier`.
__device__ __forceinline__ void copy_box(unsigned target, const CUtensorMap& map, int column,
                                         int row, unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(target),
      "l"(reinterpret_cast<std::uint64_t>(&map)), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}
/// The same to that address, and for that barrier, of each block of the cluster in `blocks`.
__device__ __forceinline__ void copy_box_to(unsigned short blocks, unsigned target,
                                            const CUtensorMap& map, int column, int row,
                                            unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(target),
      "l"(reinterpret_cast<std::uint64_t>(&map)), "r"(column), "r"(row), "r"(barrier), "h"(blocks)
      : "memory");
}
/// The same for a map of five dimensions: the box at (column, row, 0, 0, group).
__device__ __forceinline__ void copy_groups(unsigned target, const CUtensorMap& map, int column,
                                            int row, int group, unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4, %4, %5}], [%6];" ::"r"(target),
      "l"(reinterpret_cast<std::uint64_t>(&map)), "r"(column), "r"(row), "r"(0), "r"(group),
      "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void copy_groups_to(unsigned short blocks, unsigned target,
                                               const CUtensorMap& map, int column, int row,
                                               int group, unsigned barrier) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3, %4, %4, %5}], [%6], %7;" ::"r"(target),
      "l"(reinterpret_cast<std::uint64_t>(&map)), "r"(column), "r"(row), "r"(0), "r"(group),
      "r"(barrier), "h"(blocks)
      : "memory");
}

/// What the L2 cache does with the lines of a store.
__device__ __forceinline__ std::uint64_t keep_policy() {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
__device__ __forceinline__ std::uint64_t pass_policy() {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
__device__ __forceinline__ void store_vector(void* target, const unsigned (&v)[4],
                                             std::uint64_t policy) {
  asm volatile("st.global.L2::cache_hint.v4.b32 [%0], {%1, %2, %3, %4}, %5;" ::"l"(target),
               "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3]), "l"(policy)
               : "memory");
}

/// Gives registers of this warpgroup back, or takes some: kCount a thread from here on.
template <int kCount>
__device__ __forceinline__ void shrink_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ __forceinline__ void grow_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// How a product finds an operand: rows of 128 bytes in a 128-byte swizzle, eight rows to a
/// pattern of 1024 bytes, patterns one after another. `address` is that of a row whose number is a
/// multiple of eight, `offset` leads to another such row, or up to 96 bytes along K.
__device__ __forceinline__ std::uint64_t describe_operand(unsigned address, unsigned offset) {
  constexpr unsigned kSwizzle128 = 1u << 30;
  constexpr unsigned kPatternStride = 1024 >> 4;
  constexpr unsigned kUnused = 1u << 16;
  return std::uint64_t{kSwizzle128 | kPatternStride} << 32 |
         ((address >> 4 | kUnused) + (offset >> 4));
}

__device__ __forceinline__ void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits until at most `kPending` groups of products are under way.
template <int kPending>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
/// Keeps the compiler from moving accesses to accumulators across this point.
template <int kCount>
__device__ __forceinline__ void hold(s32 (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(d[i])::"memory");
}

/// Keeps the compiler from computing an address again at each use.
template <class T>
__device__ __forceinline__ void keep(T*& address) {
  asm volatile("" : "+l"(address));
}

// The names of ten registers whose numbers begin with `t`, or of the first few of them.
#define OCTET_NAMES_4(t) "%" #t "0, %" #t "1, %" #t "2, %" #t "3"
#define OCTET_NAMES_6(t) OCTET_NAMES_4(t) ", %" #t "4, %" #t "5"
#define OCTET_NAMES_8(t) OCTET_NAMES_6(t) ", %" #t "6, %" #t "7"
#define OCTET_NAMES_10(t) OCTET_NAMES_8(t) ", %" #t "8, %" #t "9"
#define OCTET_NAMES_60() \
  OCTET_NAMES_10()       \
  ", " OCTET_NAMES_10(1) ", " OCTET_NAMES_10(2) ", " OCTET_NAMES_10(3) ", " OCTET_NAMES_10(4) "," \
  " " OCTET_NAMES_10(5)
#define OCTET_NAMES_80() OCTET_NAMES_60() ", " OCTET_NAMES_10(6) ", " OCTET_NAMES_10(7)
#define OCTET_VALUES_4(t) "+r"(d[t##0]), "+r"(d[t##1]), "+r"(d[t##2]), "+r"(d[t##3])
#define OCTET_VALUES_6(t) OCTET_VALUES_4(t), "+r"(d[t##4]), "+r"(d[t##5])
#define OCTET_VALUES_8(t) OCTET_VALUES_6(t), "+r"(d[t##6]), "+r"(d[t##7])
#define OCTET_VALUES_10(t) OCTET_VALUES_8(t), "+r"(d[t##8]), "+r"(d[t##9])
#define OCTET_VALUES_60()                                                        \
  OCTET_VALUES_10(), OCTET_VALUES_10(1), OCTET_VALUES_10(2), OCTET_VALUES_10(3), \
      OCTET_VALUES_10(4), OCTET_VALUES_10(5)
#define OCTET_VALUES_80() OCTET_VALUES_60(), OCTET_VALUES_10(6), OCTET_VALUES_10(7)
#define OCTET_MULTIPLY(shape, names, a_name, b_name, add_name)                             \
  "{\n.reg .pred p;\nsetp.ne.b32 p, " add_name ", 0;\nwgmma.mma_async.sync.aligned." shape \
  ".s32.s8.s8 {" names "}, " a_name ", " b_name ", p;\n}"

/// d += a . b^T, or d = a . b^T where `add` is 0: a[64,32], b[kCols,32]. d[4 j + 2 h + e] of lane l
/// of the warpgroup's warp w is element (16 w + 8 h + l / 4, 8 j + 2 (l % 4) + e).
__device__ __forceinline__ void multiply(s32 (&d)[64], std::uint64_t a, std::uint64_t b, int add) {
  asm volatile(
      OCTET_MULTIPLY("m64n128k32", OCTET_NAMES_60() ", " OCTET_NAMES_4(6), "%64", "%65", "%66")
      : OCTET_VALUES_60(), OCTET_VALUES_4(6)
      : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply(s32 (&d)[80], std::uint64_t a, std::uint64_t b, int add) {
  asm volatile(OCTET_MULTIPLY("m64n160k32", OCTET_NAMES_80(), "%80", "%81", "%82")
               : OCTET_VALUES_80()
               : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply(s32 (&d)[96], std::uint64_t a, std::uint64_t b, int add) {
  asm volatile(
      OCTET_MULTIPLY("m64n192k32", OCTET_NAMES_80() ", " OCTET_NAMES_10(8) ", " OCTET_NAMES_6(9),
                     "%96", "%97", "%98")
      : OCTET_VALUES_80(), OCTET_VALUES_10(8), OCTET_VALUES_6(9)
      : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply(s32 (&d)[128], std::uint64_t a, std::uint64_t b, int add) {
  asm volatile(
      OCTET_MULTIPLY("m64n256k32",
                     OCTET_NAMES_80() ", " OCTET_NAMES_10(8) ", " OCTET_NAMES_10(
                         9) ", " OCTET_NAMES_10(10) ", " OCTET_NAMES_10(11) ", " OCTET_NAMES_8(12),
                     "%128", "%129", "%130")
      : OCTET_VALUES_80(), OCTET_VALUES_10(8), OCTET_VALUES_10(9), OCTET_VALUES_10(10),
        OCTET_VALUES_10(11), OCTET_VALUES_8(12)
      : "l"(a), "l"(b), "r"(add));
}

}  // namespace octet::cuda
