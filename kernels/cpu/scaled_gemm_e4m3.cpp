// scaled_gemm of e4m3 on the CPU, in the tiles of gemm.cpp: both operands converted to f32 panels,
// chunks of K added by sgemm, each result scaled and rounded as dequantize does it.
#include "octet/scaled_gemm_e4m3.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "cpu/gemm_tiles.hpp"
#include "cpu/gemm_workspace.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {

bool multiplies_e4m3(GemmWorkspace<Cpu>&) { return true; }

template <class T>
GemmPlan<Cpu> plan_scaled_gemm(GemmWorkspace<Cpu>& workspace, Matrix<const e4m3> a,
                               Matrix<const e4m3> b, Vector<const float> row_scale,
                               Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out,
                               Accumulation accumulation) {
  const GemmProblem problem = preconditions::scaled_gemm(a, b, row_scale, col_scale, bias, out,
                                                         kDType<T>, DType::e4m3, accumulation);
  if (!workspace.state) workspace = make_gemm_workspace(Cpu{});
  const cpu::TileShape tile(problem);
  workspace.state->reserve(tile.floats());
  return {
      problem,
      fmt::format("openblas {} sgemm, {} threads, tiles of {} x {}, K chunks of {}, summed in f32",
                  openblas_get_corename(), openblas_get_num_threads(), tile.m, tile.n, tile.k),
      /*choice=*/"", std::make_shared<GemmPlanState<Cpu>>(GemmPlanState<Cpu>{workspace.state})};
}

template <class T>
void scaled_gemm(Cpu, const GemmPlan<Cpu>& plan, Matrix<const e4m3> a, Matrix<const e4m3> b,
                 Vector<const float> row_scale, Vector<const float> col_scale, Vector<const T> bias,
                 Matrix<T> out) {
  const GemmProblem asked = preconditions::scaled_gemm(
      a, b, row_scale, col_scale, bias, out, kDType<T>, DType::e4m3, plan.problem.accumulation);
  preconditions::same_problem(plan.problem, asked, "scaled_gemm");
  if (plan.state == nullptr) {
    throw std::invalid_argument("scaled_gemm: the plan is empty; make one with plan_scaled_gemm");
  }
  if (asked.k == 0) {
    for (std::int64_t i = 0; i < asked.m; ++i) {
      for (std::int64_t j = 0; j < asked.n; ++j) out(i, j) = asked.bias ? bias(j) : T(0.0f);
    }
    return;
  }
  if (asked.m == 0 || asked.n == 0) return;
  cpu::multiply(asked, cpu::Source<e4m3>{a}, cpu::Source<e4m3>{b},
                cpu::ScaledAndRounded<T>{out, row_scale, col_scale, bias},
                plan.state->workspace->panels.data());
}

#define OCTET_INSTANTIATE(T)                                                                   \
  template GemmPlan<Cpu> plan_scaled_gemm(                                                     \
      GemmWorkspace<Cpu>&, Matrix<const e4m3>, Matrix<const e4m3>, Vector<const float>,        \
      Vector<const float>, Vector<const T>, Matrix<T>, Accumulation);                          \
  template void scaled_gemm(Cpu, const GemmPlan<Cpu>&, Matrix<const e4m3>, Matrix<const e4m3>, \
                            Vector<const float>, Vector<const float>, Vector<const T>, Matrix<T>)
OCTET_INSTANTIATE(f16);
OCTET_INSTANTIATE(bf16);
OCTET_INSTANTIATE(f32);

}  // namespace octet
