// Matrix products through a BLAS; the contract is octet/gemm.hpp.
//
// D is computed in tiles. For each, chunks of K of both operands are converted to f32 panels and
// multiplied by sgemm, which runs its own threads. The matrices of a batch come one after another.
//   s8     exact: 128 * 128 * kDepth = 2^24, so every sum over a chunk is an integer that f32
//          holds; the chunks' results are added in int32, in D or, for s8 results, in a tile beside
//          the panels. Tiled orders are read, and written, element by element through their layout
//   16 bit accumulates over the chunks in f32, adds the bias and rounds once. An operand that lies
//          transposed is converted as it lies, and sgemm told so
// The panels belong to the workspace and grow with the largest problem planned: 88 MiB at most.
#include "octet/gemm.hpp"

#include <cblas.h>
#include <fmt/format.h>

#include <cstring>

#include "cpu/gemm_tiles.hpp"
#include "cpu/gemm_workspace.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using cpu::Accumulators;
using cpu::multiply;
using cpu::Rescaled;
using cpu::Rounded;
using cpu::Source;
using cpu::source;
using cpu::TileShape;

/// Every row of d becomes `row`, or zero where that is empty.
template <class D>
void fill(Matrix<D> d, Vector<const D> row) {
  for (std::int64_t i = 0; i < d.rows && d.cols != 0; ++i) {
    const auto bytes = static_cast<std::size_t>(d.cols) * sizeof(D);
    if (row.length == 0) {
      std::memset(static_cast<void*>(&d(i, 0)), 0, bytes);
    } else {
      std::memcpy(static_cast<void*>(&d(i, 0)), row.data, bytes);
    }
  }
}

/// The columns that pad the last panel become zero, all of them where nothing is multiplied.
template <class D>
void zero_columns(Matrix<D, Col32> d, std::int64_t first) {
  for (std::int64_t i = 0; i < d.rows; ++i) {
    for (std::int64_t j = first; j < (d.cols + 31) / 32 * 32; ++j) d(i, j) = 0;
  }
}

}  // namespace

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

bool is_empty(const GemmProblem& q) { return q.m == 0 || q.n == 0 || q.k == 0; }

float* panels(const GemmPlan<Cpu>& plan) { return plan.state->workspace->panels.data(); }

template <class L, class D, class Sink>
void run_tiled(const GemmPlan<Cpu>& plan, const GemmProblem& asked, Matrix<const s8, Col32> a,
               Matrix<const s8, L> b, Matrix<D, Col32> d, const Sink& sink) {
  preconditions::same_problem(plan.problem, asked);
  if (is_empty(asked)) return zero_columns(d, 0);
  multiply(asked, Source<s8, Col32>{a}, Source<s8, L>{b}, sink, panels(plan));
  zero_columns(d, d.cols);
}

}  // namespace

GemmWorkspace<Cpu> make_gemm_workspace(Cpu) {
  return {std::make_shared<GemmWorkspaceState<Cpu>>()};
}

bool library_multiplies(GemmWorkspace<Cpu>&, LayoutKind b_layout) {
  preconditions::library_multiplies(b_layout);
  return false;
}

GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Batch<const s8> a, Batch<const s8> b,
                           Batch<s32> d) {
  return make_plan(workspace, preconditions::gemm_s8(a, b, d));
}

void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Batch<const s8> a, Batch<const s8> b, Batch<s32> d) {
  const GemmProblem asked = preconditions::gemm_s8(a, b, d);
  preconditions::same_problem(plan.problem, asked);
  for (std::int64_t i = 0; i < asked.batch; ++i) {
    if (is_empty(asked)) {
      fill(d[i], {});
    } else {
      multiply(asked, Source<s8>{a[i]}, Source<s8>{b[i]}, Accumulators<RowMajor>{d[i]},
               panels(plan));
    }
  }
}

GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Matrix<const s8> a, Matrix<const s8> b,
                           Vector<const float> alpha, Matrix<s8> d) {
  return make_plan(workspace, preconditions::gemm_s8(a, b, alpha, d));
}

void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Matrix<const s8> a, Matrix<const s8> b,
             Vector<const float> alpha, Matrix<s8> d) {
  const GemmProblem asked = preconditions::gemm_s8(a, b, alpha, d);
  preconditions::same_problem(plan.problem, asked);
  if (is_empty(asked)) return fill(d, {});
  multiply(asked, Source<s8>{a}, Source<s8>{b}, Rescaled<RowMajor>{d, alpha}, panels(plan));
}

template <class L>
GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Matrix<const s8, Col32> a,
                           Matrix<const s8, L> b, Matrix<s32, Col32> d) {
  return make_plan(workspace, preconditions::gemm_s8(a, b, d));
}

template <class L>
void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Matrix<const s8, Col32> a, Matrix<const s8, L> b,
             Matrix<s32, Col32> d) {
  run_tiled(plan, preconditions::gemm_s8(a, b, d), a, b, d, Accumulators<Col32>{d});
}

template <class L>
GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Matrix<const s8, Col32> a,
                           Matrix<const s8, L> b, Vector<const float> alpha, Matrix<s8, Col32> d) {
  return make_plan(workspace, preconditions::gemm_s8(a, b, alpha, d));
}

template <class L>
void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Matrix<const s8, Col32> a, Matrix<const s8, L> b,
             Vector<const float> alpha, Matrix<s8, Col32> d) {
  run_tiled(plan, preconditions::gemm_s8(a, b, alpha, d), a, b, d, Rescaled<Col32>{d, alpha});
}

template <class T>
GemmPlan<Cpu> plan_gemm(GemmWorkspace<Cpu>& workspace, Operand<T> a, Operand<T> b, Batch<T> d,
                        Vector<const T> bias) {
  return make_plan(workspace, preconditions::gemm(a, b, d, bias));
}

template <class T>
void gemm(Cpu, const GemmPlan<Cpu>& plan, Operand<T> a, Operand<T> b, Batch<T> d,
          Vector<const T> bias) {
  const GemmProblem asked = preconditions::gemm(a, b, d, bias);
  preconditions::same_problem(plan.problem, asked);
  for (std::int64_t i = 0; i < asked.batch; ++i) {
    if (is_empty(asked)) {
      fill(d[i], bias);
    } else {
      multiply(asked, source(a, i), source(b, i), Rounded<T>{d[i], bias}, panels(plan));
    }
  }
}

#define OCTET_INSTANTIATE_TILED(L)                                                               \
  template GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>&, Matrix<const s8, Col32>,              \
                                      Matrix<const s8, L>, Matrix<s32, Col32>);                  \
  template void gemm_s8(Cpu, const GemmPlan<Cpu>&, Matrix<const s8, Col32>, Matrix<const s8, L>, \
                        Matrix<s32, Col32>);                                                     \
  template GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>&, Matrix<const s8, Col32>,              \
                                      Matrix<const s8, L>, Vector<const float>,                  \
                                      Matrix<s8, Col32>);                                        \
  template void gemm_s8(Cpu, const GemmPlan<Cpu>&, Matrix<const s8, Col32>, Matrix<const s8, L>, \
                        Vector<const float>, Matrix<s8, Col32>)
OCTET_INSTANTIATE_TILED(Col4_4R2_8C);
OCTET_INSTANTIATE_TILED(Col32_2R_4R4);

template GemmPlan<Cpu> plan_gemm(GemmWorkspace<Cpu>&, Operand<f16>, Operand<f16>, Batch<f16>,
                                 Vector<const f16>);
template GemmPlan<Cpu> plan_gemm(GemmWorkspace<Cpu>&, Operand<bf16>, Operand<bf16>, Batch<bf16>,
                                 Vector<const bf16>);
template void gemm(Cpu, const GemmPlan<Cpu>&, Operand<f16>, Operand<f16>, Batch<f16>,
                   Vector<const f16>);
template void gemm(Cpu, const GemmPlan<Cpu>&, Operand<bf16>, Operand<bf16>, Batch<bf16>,
                   Vector<const bf16>);

}  // namespace octet
