// gemm_sm90 on the host: its configurations, what the copy engine is told, and the launch. The
// kernel and its contract are in gemm_sm90_kernel.cuh.
//
// Measured on an H200, f16 results, 4096-wide layer, TOPS of M x N x K (cuBLASLt's int8 product
// without scaling: 1376, 1581, 1082, 1079):
//
//                                     1024 x 12288   1024 x 4096   4096 x 12288   12288 x 4096
//                                           x 4096       x 12288         x 1024         x 1024
//   128x192 ping-pong cluster 1x2             1599          1128           1470           1375
//   128x192 ping-pong cluster 2x1 streaming   1593          1135           1441           1481
//   128x128 ping-pong cluster 2x1             1515          1564           1291           1306
//   128x256 cooperative cluster 2x1           1551          1645           1222           1240
//   256x160 cooperative cluster 1x2           1269          1379           1198           1215
//   256x192 cooperative cluster 2x1           1585          1166           1260           1282
//
// Each wins somewhere among three sizes of layers but 128x128, which is for small results. Tried
// and dropped: clusters of four (256x192: 1061, 1163, 1095, 1108), 128x160 ping-pong (1541, 1353,
// 1423, 1382), tiles numbered in groups of eight (1591, 1134, 1422, 1411), results through shared
// memory and the copy engine, and cooperative consumers that start apart: none was ahead by more
// than the measurement's own error.
//
// Counters of 1024x12288x4096 and 12288x4096x1024 (Nsight Compute): product units at work in 85 %
// of the cycles, L2 at 59 and 53 % of its throughput, memory at 22 and 27 %. The clock is what is
// missing: 1.67 and 1.63 of 1.98 GHz, by the power limit.
#include <cuda.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include "cuda/error.hpp"
#include "cuda/gemm_sm90.hpp"
#include "cuda/gemm_sm90_kernel.cuh"
#include "cuda/vector_access.cuh"
#include "octet/gemm.hpp"

namespace octet::cuda {
namespace {

template <class... Cs>
struct Tiles {
  /// Calls visit with the one that has this configuration; false where none has.
  template <class Visit>
  static bool find(const GemmSm90Config& config, Visit visit) {
    GemmSm90Config kernel = config;
    kernel.streaming = false;
    return ((Cs::kConfig == kernel && (visit(Cs{}), true)) || ...);
  }
};
using AllTiles =
    Tiles<Tile<128, 192, true, 1, 2>, Tile<128, 192, true, 2, 1>, Tile<128, 128, true, 2, 1>,
          Tile<128, 256, false, 2, 1>, Tile<256, 160, false, 1, 2>, Tile<256, 192, false, 2, 1>>;

/// What a tile takes on an H200 at its burst clock, fitted to the figures of the header comment.
struct Candidate {
  GemmSm90Config config;
  double stage_us;  // for each kTileK of K
  double tile_us;   // beside them
};
constexpr Candidate kCandidates[] = {
    {{128, 192, true, 1, 2}, 0.455, 0.55},  {{128, 192, true, 2, 1, true}, 0.455, 0.55},
    {{128, 128, true, 2, 1}, 0.321, 0.63},  {{128, 256, false, 2, 1}, 0.601, 1.97},
    {{256, 160, false, 1, 2}, 0.721, 2.54}, {{256, 192, false, 2, 1}, 0.859, 2.98}};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <class C>
Raster make_raster(const GemmSm90Problem& p) {
  const auto m = static_cast<unsigned>(ceil_div(p.m, C::kTileM * C::kClusterM));
  const auto n = static_cast<unsigned>(ceil_div(p.n, C::kTileN * C::kClusterN));
  const bool m_is_first = p.m <= p.n;
  return {m_is_first ? m : n, m * n, m_is_first, static_cast<unsigned>(ceil_div(p.k, kTileK))};
}

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

/// The driver's function, found at run time: no program has to link with the driver's library.
EncodeTiled encode_tiled() {
  static const EncodeTiled function = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult answer{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                           cudaEnableDefault, &answer),
          "looking for cuTensorMapEncodeTiled");
    if (answer != cudaDriverEntryPointSuccess || found == nullptr) {
      throw std::runtime_error("gemm_sm90: the driver has no cuTensorMapEncodeTiled: update it");
    }
    return reinterpret_cast<EncodeTiled>(found);
  }();
  return function;
}

using TensorMap = GemmSm90Plan::TensorMap;

/// Nothing where the driver refuses.
std::optional<TensorMap> encode(const void* data, unsigned rank, const cuuint64_t* extents,
                                const cuuint64_t* strides, const cuuint32_t* box) {
  CUtensorMap map;
  const cuuint32_t steps[] = {1, 1, 1, 1, 1};
  const CUresult status =
      encode_tiled()(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, rank, const_cast<void*>(data), extents,
                     strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                     CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) return std::nullopt;
  TensorMap bytes;
  static_assert(sizeof(bytes) == sizeof(map));
  std::memcpy(&bytes, &map, sizeof(map));
  return bytes;
}

/// The leading dimension of a single row may be anything; the driver wants a multiple of 16.
cuuint64_t stride_of(int64_t rows, int64_t k, int64_t ld) {
  return static_cast<cuuint64_t>(rows > 1 ? ld : ceil_div(k, 16) * 16);
}

/// A map of data[rows, k] in boxes of `box_rows` rows and kTileK bytes.
std::optional<TensorMap> make_map(const s8* data, int64_t rows, int64_t k, int64_t ld,
                                  int box_rows) {
  const cuuint64_t extents[] = {static_cast<cuuint64_t>(k), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {stride_of(rows, k, ld)};
  const cuuint32_t box[] = {kTileK, static_cast<cuuint32_t>(box_rows)};
  return encode(data, 2, extents, strides, box);
}

/// The same, five dimensions. Permuted, row 8 j + 2 t + e of a group in shared memory, of which the
/// accumulators are those of thread t of a quad, is row 8 t + 2 j + e of the group in memory: the
/// dimensions are e, t, j and the group.
std::optional<TensorMap> make_map_of_groups(const s8* data, int64_t rows, int64_t k, int64_t ld,
                                            int box_rows, bool permuted) {
  const cuuint64_t stride = stride_of(rows, k, ld);
  const auto depth = static_cast<cuuint64_t>(k), count = static_cast<cuuint64_t>(rows);
  const auto box_count = static_cast<cuuint32_t>(box_rows);
  if (permuted) {
    const cuuint64_t extents[] = {depth, 2, 4, 4, count / kGroup};
    const cuuint64_t strides[] = {stride, 8 * stride, 2 * stride, kGroup * stride};
    const cuuint32_t box[] = {kTileK, 2, 4, 4, box_count / kGroup};
    return encode(data, 5, extents, strides, box);
  }
  const cuuint64_t extents[] = {depth, count, 1, 1, 1};
  const cuuint64_t strides[] = {stride, stride, stride, stride};
  const cuuint32_t box[] = {kTileK, box_count, 1, 1, 1};
  return encode(data, 5, extents, strides, box);
}

CUtensorMap as_map(const TensorMap& bytes) {
  CUtensorMap map;
  std::memcpy(&map, &bytes, sizeof(map));
  return map;
}

/// Clusters of the kernel that the device holds at a time; lets the kernel have its shared memory.
template <class C, class Kernel>
int resident_clusters(Kernel kernel) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, C::kAllBytes),
        "reserving shared memory for gemm_sm90");
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {C::kCluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(C::kCluster);
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = C::kAllBytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int count = 0;
  check(cudaOccupancyMaxActiveClusters(&count, kernel, &config), "counting clusters for gemm_sm90");
  return std::max(count, 1);
}

template <class C, class T>
void launch(cudaStream_t stream, const GemmSm90Plan& plan, const GemmSm90Result<T>& r,
            bool overlap) {
  const GemmSm90Problem& p = plan.problem;
  const Raster raster = make_raster<C>(p);
  const Result<T> result{r.d,
                         r.ldd,
                         r.row_scale,
                         r.col_scale,
                         r.bias,
                         static_cast<int>(p.m),
                         static_cast<int>(p.n),
                         p.n % 8 == 0 && aligned_rows(r.d, r.ldd, p.m, 16),
                         plan.permuted,
                         plan.config.streaming};
  const auto kernel = gemm_sm90_kernel<C, T>;
  static const int resident = resident_clusters<C>(kernel);
  const unsigned clusters = gemm_sm90_clusters(
      raster.count,
      std::min(static_cast<unsigned>(resident),
               static_cast<unsigned>(std::max(plan.multiprocessors / C::kCluster, 1))),
      plan.spared);
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {C::kCluster, 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(clusters * C::kCluster);
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = C::kAllBytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = overlap ? 2 : 1;
  check(cudaLaunchKernelEx(&config, kernel, as_map(plan.a_map), as_map(plan.b_map), raster, result),
        "launching gemm_sm90");
  check(cudaGetLastError(), "launching gemm_sm90");
}

/// Strides of a tensor map are under 2^40 bytes.
constexpr int64_t kMostStride = (int64_t{1} << 40) - 1;

}  // namespace

bool gemm_sm90_accepts(const GemmSm90Problem& p) {
  constexpr int64_t kMost = int64_t{1} << 30;  // row numbers of the copy engine are 32 bits wide
  return p.m > 0 && p.n > 0 && p.k > 0 && p.m <= kMost && p.n <= kMost && p.k <= kMaxS8Depth &&
         aligned_rows(p.a, p.lda, p.m, 16) && aligned_rows(p.b, p.ldb, p.n, 16) &&
         (p.m == 1 || p.lda <= kMostStride) && (p.n == 1 || p.ldb <= kMostStride);
}

std::vector<GemmSm90Config> gemm_sm90_configs(const GemmSm90Problem& p, int multiprocessors) {
  std::vector<std::pair<double, GemmSm90Config>> ordered;
  for (const auto& [c, stage_us, tile_us] : kCandidates) {
    const int64_t tiles = ceil_div(p.m, c.tile_m * c.cluster_m) * c.cluster_m *
                          ceil_div(p.n, c.tile_n * c.cluster_n) * c.cluster_n;
    const auto waves = static_cast<double>(ceil_div(tiles, multiprocessors));
    const auto stages = static_cast<double>(ceil_div(p.k, kTileK));
    ordered.emplace_back(waves * (stages * stage_us + tile_us), c);
  }
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& x, const auto& y) { return x.first < y.first; });
  std::vector<GemmSm90Config> configs;
  for (const auto& [us, config] : ordered) configs.push_back(config);
  return configs;
}

unsigned gemm_sm90_clusters(unsigned count, unsigned available, double spared) {
  if (!(spared > 0)) return std::min(count, available);
  constexpr double kNearlyFull = 0.25;  // of a round: not worth another one
  constexpr double kDearest = 3;        // time that a spared share may cost
  const auto least = static_cast<double>(ceil_div(count, available));
  const double left = available * std::max(1 - spared, 0.1);
  double rounds = std::max(std::ceil(count / left - kNearlyFull), least);
  if (rounds > least * (1 + kDearest * spared)) rounds = least;
  return static_cast<unsigned>(std::ceil(count / rounds));
}

std::string name(const GemmSm90Config& c) {
  const auto by = [](int x, int y) { return std::to_string(x) + "x" + std::to_string(y); };
  return by(c.tile_m, c.tile_n) + (c.ping_pong ? " ping-pong" : " cooperative") + " cluster " +
         by(c.cluster_m, c.cluster_n) + (c.streaming ? " streaming" : "");
}

GemmSm90Plan plan_gemm_sm90(const GemmSm90Problem& problem, const GemmSm90Config& config,
                            int multiprocessors) {
  if (!gemm_sm90_accepts(problem)) {
    throw std::invalid_argument(
        "gemm_sm90: rows of a and b must start at multiples of 16 bytes, extents be positive and K "
        "at most 131071");
  }
  std::optional<TensorMap> a_map, b_map;
  bool permuted = false;
  const bool found = AllTiles::find(config, [&]<class C>(C) {
    const auto& [a, lda, b, ldb, m, n, k] = problem;
    a_map = make_map(a, m, k, lda, C::kARows);
    permuted = n % kGroup == 0 && ldb <= kMostStride / kGroup;
    if (permuted) b_map = make_map_of_groups(b, n, k, ldb, C::kBRows, true);
    permuted = b_map.has_value();
    if (!permuted) b_map = make_map_of_groups(b, n, k, ldb, C::kBRows, false);
  });
  if (!found) {
    throw std::invalid_argument("gemm_sm90: no such configuration: take one of those listed");
  }
  if (!a_map || !b_map) {
    throw std::runtime_error("gemm_sm90: the driver refused to describe an operand");
  }
  return {problem, config, multiprocessors, permuted, *a_map, *b_map, 0};
}

template <class T>
void gemm_sm90(cudaStream_t stream, const GemmSm90Plan& plan, const GemmSm90Result<T>& result,
               bool overlap) {
  AllTiles::find(plan.config, [&]<class C>(C) { launch<C, T>(stream, plan, result, overlap); });
}

template void gemm_sm90<s32>(cudaStream_t, const GemmSm90Plan&, const GemmSm90Result<s32>&, bool);
template void gemm_sm90<f16>(cudaStream_t, const GemmSm90Plan&, const GemmSm90Result<f16>&, bool);
template void gemm_sm90<bf16>(cudaStream_t, const GemmSm90Plan&, const GemmSm90Result<bf16>&, bool);
template void gemm_sm90<f32>(cudaStream_t, const GemmSm90Plan&, const GemmSm90Result<f32>&, bool);

}  // namespace octet::cuda
