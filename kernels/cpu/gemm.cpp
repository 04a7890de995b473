// Matrix products through a BLAS; the contract is octet/gemm.hpp.
//
// D is computed in tiles. For each, chunks of K of both operands are converted to f32 panels and
// multiplied by sgemm, which runs its own threads.
//   s8     exact: 128 * 128 * kDepth = 2^24, so every sum over a chunk is an integer that f32
//   holds;
//          the chunks' results are added in int32
//   16 bit accumulates over the chunks in f32 and rounds once. An operand that lies transposed is
//          converted as it lies, and sgemm told so
// The panels belong to the workspace and grow with the largest problem planned: 56 MiB at most.
#include "octet/gemm.hpp"

#include <cblas.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cpu/parallel.hpp"
#include "octet/buffer.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

constexpr std::int64_t kTileRows = 2048;
constexpr std::int64_t kTileCols = 4096;
constexpr std::int64_t kDepth = 1024;  // of a chunk
static_assert(128 * 128 * kDepth <= std::int64_t{1} << 24);

/// Extents of the largest tile of a problem.
struct TileShape {
  std::int64_t m, n, k;

  explicit TileShape(const GemmProblem& p)
      : m(std::min(p.m, kTileRows)), n(std::min(p.n, kTileCols)), k(std::min(p.k, kDepth)) {}
  std::int64_t floats() const { return m * k + n * k + m * n; }
};

/// Where one block of an operand lies, and how: `rows` x `cols` elements as they lie in memory.
template <class T>
struct Block {
  const T* data;
  std::int64_t rows, cols, ld;
  bool transposed;

  /// Rows [i, i + count) of the operand, columns [k, k + depth).
  static Block of(const Operand<T>& o, std::int64_t i, std::int64_t count, std::int64_t k,
                  std::int64_t depth) {
    if (o.transposed) return {o.data + k * o.ld + i, depth, count, o.ld, true};
    return {o.data + i * o.ld + k, count, depth, o.ld, false};
  }
};

template <class T>
void load_panel(const Block<T>& block, float* panel) {
  cpu::parallel_for(block.rows, cpu::rows_per_piece(block.cols),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        const T* source = block.data + i * block.ld;
                        float* row = panel + i * block.cols;
                        for (std::int64_t j = 0; j < block.cols; ++j)
                          row[j] = static_cast<float>(source[j]);
                      }
                    });
}

/// Panels a and b multiplied into c[m,n], or added to it.
template <class T>
void multiply_panels(const Block<T>& a, const float* panel_a, const Block<T>& b,
                     const float* panel_b, bool add, float* c, std::int64_t m, std::int64_t n,
                     std::int64_t k) {
  const auto blas = [](std::int64_t extent) { return static_cast<blasint>(extent); };
  cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
              b.transposed ? CblasNoTrans : CblasTrans, blas(m), blas(n), blas(k), 1.0f, panel_a,
              blas(a.cols), panel_b, blas(b.cols), add ? 1.0f : 0.0f, c, blas(n));
}

/// c[rows,cols], packed, into d.
template <class T>
void store_tile(const float* c, std::int64_t rows, std::int64_t cols, T* d, std::int64_t ldd,
                [[maybe_unused]] bool add) {
  cpu::parallel_for(rows, cpu::rows_per_piece(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* source = c + i * cols;
      T* row = d + i * ldd;
      if constexpr (std::is_same_v<T, s32>) {
        if (add) {
          for (std::int64_t j = 0; j < cols; ++j) row[j] += static_cast<s32>(source[j]);
          continue;
        }
      }
      for (std::int64_t j = 0; j < cols; ++j) row[j] = static_cast<T>(source[j]);
    }
  });
}

template <class T, class D>
void multiply(const Operand<T>& a, const Operand<T>& b, Matrix<D> d, const TileShape& tile,
              float* panels) {
  constexpr bool kCarryInResult = std::is_same_v<D, s32>;
  float* panel_a = panels;
  float* panel_b = panel_a + tile.m * tile.k;
  float* c = panel_b + tile.n * tile.k;
  const std::int64_t depth = a.cols;
  for (std::int64_t i = 0; i < d.rows; i += tile.m) {
    const std::int64_t m = std::min(tile.m, d.rows - i);
    for (std::int64_t j = 0; j < d.cols; j += tile.n) {
      const std::int64_t n = std::min(tile.n, d.cols - j);
      for (std::int64_t k0 = 0; k0 < depth; k0 += tile.k) {
        const std::int64_t k = std::min(tile.k, depth - k0);
        const Block<T> block_a = Block<T>::of(a, i, m, k0, k);
        const Block<T> block_b = Block<T>::of(b, j, n, k0, k);
        // A panel that holds the whole of K serves all tiles of its row.
        if (j == 0 || tile.k < depth) load_panel(block_a, panel_a);
        load_panel(block_b, panel_b);
        const bool first = k0 == 0, last = k0 + k == depth;
        multiply_panels(block_a, panel_a, block_b, panel_b, !kCarryInResult && !first, c, m, n, k);
        if (kCarryInResult || last) store_tile(c, m, n, &d(i, j), d.layout.ld, !first);
      }
    }
  }
}

template <class D>
void zero(Matrix<D> d) {
  for (std::int64_t i = 0; i < d.rows && d.cols != 0; ++i) {
    std::memset(static_cast<void*>(&d(i, 0)), 0, static_cast<std::size_t>(d.cols) * sizeof(D));
  }
}

Operand<s8> operand(Matrix<const s8> m) { return m; }

}  // namespace

/// The panels. A plan has nothing to remember but their place: its tiles follow from the problem.
template <>
struct GemmWorkspaceState<Cpu> {
  Buffer<Cpu, float> panels;

  void reserve(std::int64_t floats) {
    if (panels.size() < floats) panels = Buffer<Cpu, float>(Cpu{}, floats);
  }
};

template <>
struct GemmPlanState<Cpu> {
  std::shared_ptr<GemmWorkspaceState<Cpu>> workspace;
};

namespace {

GemmPlan<Cpu> make_plan(GemmWorkspace<Cpu>& workspace, const GemmProblem& problem) {
  if (!workspace.state) workspace = make_gemm_workspace(Cpu{});
  const TileShape tile(problem);
  workspace.state->reserve(tile.floats());
  return {problem,
          fmt::format("openblas {} sgemm, {} threads, tiles of {} x {}, K chunks of {}",
                      openblas_get_corename(), openblas_get_num_threads(), tile.m, tile.n, tile.k),
          /*choice=*/"", std::make_shared<GemmPlanState<Cpu>>(GemmPlanState<Cpu>{workspace.state})};
}

template <class T, class D>
void run(const GemmPlan<Cpu>& plan, const GemmProblem& asked, const Operand<T>& a,
         const Operand<T>& b, Matrix<D> d) {
  preconditions::same_problem(plan.problem, asked);
  if (asked.m == 0 || asked.n == 0 || asked.k == 0) {
    zero(d);
    return;
  }
  multiply(a, b, d, TileShape(asked), plan.state->workspace->panels.data());
}

}  // namespace

GemmWorkspace<Cpu> make_gemm_workspace(Cpu) {
  return {std::make_shared<GemmWorkspaceState<Cpu>>()};
}

GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Batch<const s8> a, Batch<const s8> b,
                           Batch<s32> d) {
  return make_plan(workspace, preconditions::gemm_s8(a.first, b.first, d.first));
}

void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Batch<const s8> a, Batch<const s8> b, Batch<s32> d) {
  run(plan, preconditions::gemm_s8(a.first, b.first, d.first), operand(a.first), operand(b.first),
      d.first);
}

template <class T>
GemmPlan<Cpu> plan_gemm(GemmWorkspace<Cpu>& workspace, Operand<T> a, Operand<T> b, Batch<T> d,
                        Vector<const T>) {
  return make_plan(workspace, preconditions::gemm(a, b, d.first));
}

template <class T>
void gemm(Cpu, const GemmPlan<Cpu>& plan, Operand<T> a, Operand<T> b, Batch<T> d, Vector<const T>) {
  run(plan, preconditions::gemm(a, b, d.first), a, b, d.first);
}

template GemmPlan<Cpu> plan_gemm(GemmWorkspace<Cpu>&, Operand<f16>, Operand<f16>, Batch<f16>,
                                 Vector<const f16>);
template GemmPlan<Cpu> plan_gemm(GemmWorkspace<Cpu>&, Operand<bf16>, Operand<bf16>, Batch<bf16>,
                                 Vector<const bf16>);
template void gemm(Cpu, const GemmPlan<Cpu>&, Operand<f16>, Operand<f16>, Batch<f16>,
                   Vector<const f16>);
template void gemm(Cpu, const GemmPlan<Cpu>&, Operand<bf16>, Operand<bf16>, Batch<bf16>,
                   Vector<const bf16>);

}  // namespace octet
