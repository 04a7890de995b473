// quantize_row_col of a tensor that fits into the multiprocessors' shared memory, or nearly: one
// cooperative launch that reads x once.
//
//   load      every block starts to bring its tiles of 128 x 64 to shared memory
//   clear     the statistics, while they come; all blocks meet
//   absmax    of each tile, by rows and by columns, into row_scale and col_scale; all blocks meet
//   convert   each tile, from shared memory, as convert_kernel of quantize_row_col.cuh does
//
// Two blocks of 512 threads share a multiprocessor. Block b takes tiles b, b + blocks, ...; six of
// them stay in shared memory, up to two more are read twice. Within a tile a thread takes four rows
// of four columns; a warp eight rows. Blocks meet through the launch's own barrier, so all of them
// must be resident, which a cooperative launch ensures or refuses.
//
// Bytes: sizeof(T) read and 2 written an element. 16-bit types; needs rows of x at multiples of 16
// bytes, of q_row of 4, of q_col of 16, and 107 KiB of shared memory a block.
#pragma once

#include <cooperative_groups.h>

#include "cuda/quantize_row_col.cuh"

namespace octet::cuda {

inline constexpr int kResidentThreads = 512;
inline constexpr int kResidentWarps = kResidentThreads / kWarp;
inline constexpr int kResidentBlocks = 2;  // of a multiprocessor
inline constexpr int kResidentTiles = 6;   // of a block, in shared memory
inline constexpr int kMostTiles = 8;       // of a block
inline constexpr int kTileChunks = kTileCols / 8;
inline constexpr int kTileLines = kTileRows + kTileCols;

struct ResidentMemory {
  uint4 x[kResidentTiles][kTileRows][kTileChunks];
  union {
    uint4 staged[kTileCols][kUnits];
    unsigned col_part[kResidentWarps][kTileCols / 2];
  };
  float inverse[kMostTiles][kTileLines];
};

/// Four columns of four rows.
struct Patch {
  uint2 rows[4];
};

template <class T>
__device__ __forceinline__ void load_resident(const RowCol<T>& p, int64_t first_row,
                                              int64_t first_col, uint4 (&tile)[kTileRows][8]) {
#pragma unroll
  for (int i = 0; i < kTileRows * kTileChunks / kResidentThreads; ++i) {
    const int n = i * kResidentThreads + static_cast<int>(threadIdx.x);
    const int row = n / kTileChunks, chunk = n % kTileChunks;
    const int64_t left = p.cols - first_col - chunk * 8;
    const bool is_inside = first_row + row < p.rows && left > 0;
    const T* source = is_inside ? p.x + (first_row + row) * p.ldx + first_col + chunk * 8 : p.x;
    const int bytes = is_inside ? static_cast<int>(min(left, int64_t{8})) * 2 : 0;
    const auto target = static_cast<unsigned>(__cvta_generic_to_shared(&tile[row][chunk]));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source),
                 "r"(bytes)
                 : "memory");
  }
}

/// Until all but so many of the tiles' loads are complete; an instruction takes no register here.
__device__ __forceinline__ void wait_for_loads(int but) {
  static_assert(kResidentTiles == 6);
  switch (but) {
    case 5:
      asm volatile("cp.async.wait_group 5;" ::: "memory");
      return;
    case 4:
      asm volatile("cp.async.wait_group 4;" ::: "memory");
      return;
    case 3:
      asm volatile("cp.async.wait_group 3;" ::: "memory");
      return;
    case 2:
      asm volatile("cp.async.wait_group 2;" ::: "memory");
      return;
    case 1:
      asm volatile("cp.async.wait_group 1;" ::: "memory");
      return;
    default:
      asm volatile("cp.async.wait_group 0;" ::: "memory");
  }
}

/// From shared memory, or from memory where the tile did not stay.
template <class T>
__device__ __forceinline__ Patch patch_of(const RowCol<T>& p, const ResidentMemory& memory, int j,
                                          int64_t first_row, int64_t first_col, int row, int col) {
  Patch patch;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (j < kResidentTiles) {
      patch.rows[i] = reinterpret_cast<const uint2*>(memory.x[j][row + i])[col / 4];
      continue;
    }
    patch.rows[i] = make_uint2(0, 0);
    const int64_t left = p.cols - first_col - col;
    if (first_row + row + i >= p.rows) continue;
    const T* const source = p.x + (first_row + row + i) * p.ldx + first_col + col;
    if (left >= 4) {
      patch.rows[i] = *reinterpret_cast<const uint2*>(source);
    } else {
      const auto* const bits = reinterpret_cast<const Bits<T>*>(source);
      if (left > 0) patch.rows[i].x = bits[0];
      if (left > 1) patch.rows[i].x |= static_cast<unsigned>(bits[1]) << 16;
      if (left > 2) patch.rows[i].y = bits[2];
    }
  }
  return patch;
}

template <class T>
__device__ __forceinline__ void absmax_of_patch(const RowCol<T>& p, ResidentMemory& memory,
                                                const Patch& patch, int64_t first_row,
                                                int64_t first_col, int row, int col) {
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp, warp = thread / kWarp;
  unsigned of_rows[2] = {};  // rows 0 and 1, 2 and 3: the first in the low half
  unsigned of_cols[2] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const unsigned low = magnitudes<T>(patch.rows[i].x), high = magnitudes<T>(patch.rows[i].y);
    of_cols[0] = larger<T>(of_cols[0], low);
    of_cols[1] = larger<T>(of_cols[1], high);
    const unsigned both = larger<T>(low, high);
    of_rows[i / 2] |= max(both & 0xffffu, both >> 16) << (i % 2 * 16);
  }
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2) {
    of_rows[0] = larger<T>(of_rows[0], __shfl_xor_sync(kAllLanes, of_rows[0], distance));
    of_rows[1] = larger<T>(of_rows[1], __shfl_xor_sync(kAllLanes, of_rows[1], distance));
  }
  of_cols[0] = larger<T>(of_cols[0], __shfl_xor_sync(kAllLanes, of_cols[0], 16));
  of_cols[1] = larger<T>(of_cols[1], __shfl_xor_sync(kAllLanes, of_cols[1], 16));
  if (lane % 16 < 4 && first_row + row + lane % 16 < p.rows) {
    const int i = lane % 16;
    const unsigned bits = (i < 2 ? of_rows[0] : of_rows[1]) >> (i % 2 * 16) & 0xffffu;
    atomicMax(reinterpret_cast<unsigned*>(p.row_scale) + first_row + row + i,
              kStatistic | __float_as_uint(value_of<T>(bits)));
  }
  __syncthreads();  // the tile before has been read
  if (lane < 16) {
    memory.col_part[warp][col / 2] = of_cols[0];
    memory.col_part[warp][col / 2 + 1] = of_cols[1];
  }
  __syncthreads();
  if (thread < kTileCols && first_col + thread < p.cols) {
    unsigned word = 0;
#pragma unroll
    for (int w = 0; w < kResidentWarps; ++w) {
      word = larger<T>(word, memory.col_part[w][thread / 2]);
    }
    const unsigned bits = word >> (thread % 2 * 16) & 0xffffu;
    atomicMax(reinterpret_cast<unsigned*>(p.col_scale) + first_col + thread,
              kStatistic | __float_as_uint(value_of<T>(bits)));
  }
}

template <class T>
__device__ __forceinline__ float element(const uint2& words, int e) {
  return value_of<T>((e < 2 ? words.x : words.y) >> (e % 2 * 16) & 0xffffu);
}

template <class T, class Q>
__device__ __forceinline__ void convert_patch(const RowCol<T>& p, ResidentMemory& memory,
                                              const float (&inverse)[kTileLines],
                                              const Patch& patch, int64_t first_row,
                                              int64_t first_col, int row, int col) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (first_row + row + i >= p.rows) continue;
    const float scaled = inverse[row + i];
    const unsigned packed =
        quantized<Q>(element<T>(patch.rows[i], 0), element<T>(patch.rows[i], 1),
                     element<T>(patch.rows[i], 2), element<T>(patch.rows[i], 3), scaled);
    const unsigned words[1] = {scaled == 0.0f ? 0u : packed};
    store_int8(p.q_row + (first_row + row + i) * p.ldq_row + first_col + col, words,
               p.cols - first_col - col, p.q_row_access);
  }
  const auto unit = [](int c, int u) { return u ^ (c / 8 % kUnits); };
  __syncthreads();  // the tile before has been stored
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const float scaled = inverse[kTileRows + col + e];
    const unsigned packed =
        quantized<Q>(element<T>(patch.rows[0], e), element<T>(patch.rows[1], e),
                     element<T>(patch.rows[2], e), element<T>(patch.rows[3], e), scaled);
    unsigned* words = reinterpret_cast<unsigned*>(&memory.staged[col + e][unit(col + e, row / 16)]);
    words[row / 4 % 4] = scaled == 0.0f ? 0u : packed;
  }
  __syncthreads();
  static_assert(kTileCols * kUnits == kResidentThreads);
  const int c = thread / kUnits, u = thread % kUnits;
  const int64_t first = first_row + u * 16;
  if (first_col + c < p.cols && first < p.rows) {
    const uint4 value = memory.staged[c][unit(c, u)];
    const unsigned words[4] = {value.x, value.y, value.z, value.w};
    store_int8(p.q_col + (first_col + c) * p.ldq_col + first, words, p.rows - first,
               p.q_col_access);
  }
}

template <class T, class Q>
__global__ void __launch_bounds__(kResidentThreads, kResidentBlocks)
    resident_kernel(const RowCol<T> p, unsigned tiles, unsigned col_blocks) {
  extern __shared__ __align__(16) unsigned char bytes[];
  ResidentMemory& memory = *reinterpret_cast<ResidentMemory*>(bytes);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp, warp = thread / kWarp;
  const int row = warp * 8 + lane / 16 * 4, col = lane % 16 * 4;
  const auto tile_of = [&](int j) { return blockIdx.x + static_cast<unsigned>(j) * gridDim.x; };
  const auto first_row_of = [&](unsigned tile) {
    return static_cast<int64_t>(tile / col_blocks) * kTileRows;
  };
  const auto first_col_of = [&](unsigned tile) {
    return static_cast<int64_t>(tile % col_blocks) * kTileCols;
  };

#pragma unroll
  for (int j = 0; j < kResidentTiles; ++j) {
    const unsigned tile = tile_of(j);
    if (tile < tiles) load_resident(p, first_row_of(tile), first_col_of(tile), memory.x[j]);
    asm volatile("cp.async.commit_group;" ::: "memory");
  }

  const int64_t first = static_cast<int64_t>(blockIdx.x) * kResidentThreads + thread;
  const int64_t all = static_cast<int64_t>(gridDim.x) * kResidentThreads;
  for (int64_t i = first; i < p.rows; i += all) p.row_scale[i] = 0.0f;
  for (int64_t i = first; i < p.cols; i += all) p.col_scale[i] = 0.0f;
  cooperative_groups::this_grid().sync();

#pragma unroll
  for (int j = 0; j < kMostTiles; ++j) {
    if (j < kResidentTiles) {
      wait_for_loads(kResidentTiles - 1 - j);
      __syncthreads();
    }
    const unsigned tile = tile_of(j);
    if (tile >= tiles) break;
    const int64_t first_row = first_row_of(tile), first_col = first_col_of(tile);
    absmax_of_patch(p, memory, patch_of(p, memory, j, first_row, first_col, row, col), first_row,
                    first_col, row, col);
  }
  cooperative_groups::this_grid().sync();

  for (int i = thread; i < kMostTiles * kTileLines; i += kResidentThreads) {
    const int j = i / kTileLines, line = i % kTileLines;
    const unsigned tile = tile_of(j);
    if (tile >= tiles) break;
    const int64_t at_row = first_row_of(tile) + line;
    const int64_t at_col = first_col_of(tile) + line - kTileRows;
    float inverse = 0.0f;
    if (line < kTileRows && at_row < p.rows) {
      inverse = settled_inverse<T, Q>(p.row_scale + at_row, tile % col_blocks == 0);
    } else if (line >= kTileRows && at_col < p.cols) {
      inverse = settled_inverse<T, Q>(p.col_scale + at_col, tile < col_blocks);
    }
    memory.inverse[j][line] = inverse;
  }
  __syncthreads();
  for (int j = 0; j < kMostTiles; ++j) {
    const unsigned tile = tile_of(j);
    if (tile >= tiles) break;
    const int64_t first_row = first_row_of(tile), first_col = first_col_of(tile);
    convert_patch<T, Q>(p, memory, memory.inverse[j],
                        patch_of(p, memory, j, first_row, first_col, row, col), first_row,
                        first_col, row, col);
  }
}

/// Launches it where it fits; false where the kernels one after the other have to do it.
template <class Q = s8, class T>
bool quantize_resident(const char* what, cudaStream_t stream, const RowCol<T>& p) {
  if (sizeof(T) != 2 || !p.x_vectors || !p.q_col_access.vectors) return false;
  const int64_t col_blocks = ceil_div(p.cols, kTileCols);
  const int64_t tiles = ceil_div(p.rows, kTileRows) * col_blocks;
  int device = 0, multiprocessors = 0, shared_bytes = 0, can_meet = 0;
  check(cudaGetDevice(&device), what);
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device), what);
  if (tiles > int64_t{kMostTiles} * kResidentBlocks * multiprocessors) return false;
  check(cudaDeviceGetAttribute(&can_meet, cudaDevAttrCooperativeLaunch, device), what);
  check(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        what);
  constexpr auto kBytes = static_cast<int>(sizeof(ResidentMemory));
  if (can_meet == 0 || shared_bytes < kBytes) return false;
  const auto kernel = resident_kernel<T, Q>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes), what);
  int resident = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, kResidentThreads, kBytes),
        what);
  const int64_t most = int64_t{resident} * multiprocessors;
  if (tiles > kMostTiles * most) return false;

  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(tiles < most ? tiles : most));
  config.blockDim = dim3(kResidentThreads);
  config.dynamicSmemBytes = kBytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, p, static_cast<unsigned>(tiles),
                           static_cast<unsigned>(col_blocks)),
        what);
  check(cudaGetLastError(), what);
  return true;
}

}  // namespace octet::cuda
