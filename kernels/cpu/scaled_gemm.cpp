// scaled_gemm on the CPU: gemm_s8 into accumulators of the workspace, then dequantize.
#include "octet/scaled_gemm.hpp"

#include <stdexcept>

#include "cpu/gemm_workspace.hpp"
#include "octet/dequantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {

template <>
struct ScaledGemmPlanState<Cpu> {
  GemmPlan<Cpu> product;

  Matrix<s32> view() const {
    return {product.state->workspace->accumulators.data(), product.problem.m, product.problem.n};
  }
};

template <class T>
ScaledGemmPlan<Cpu> plan_scaled_gemm(GemmWorkspace<Cpu>& workspace, Matrix<const s8> a,
                                     Matrix<const s8> b, Vector<const float> row_scale,
                                     Vector<const float> col_scale, Vector<const T> bias,
                                     Matrix<T> out) {
  const GemmProblem problem =
      preconditions::scaled_gemm(a, b, row_scale, col_scale, bias, out, kDType<T>);
  if (!workspace.state) workspace = make_gemm_workspace(Cpu{});
  workspace.state->reserve_accumulators(problem.m * problem.n);
  auto state = std::make_shared<ScaledGemmPlanState<Cpu>>();
  state->product = plan_gemm_s8(
      workspace, a, b, Matrix<s32>(workspace.state->accumulators.data(), problem.m, problem.n));
  return {problem, state->product.algorithm + ", then dequantize", /*choice=*/"", state};
}

template <class T>
void scaled_gemm(Cpu backend, const ScaledGemmPlan<Cpu>& plan, Matrix<const s8> a,
                 Matrix<const s8> b, Vector<const float> row_scale, Vector<const float> col_scale,
                 Vector<const T> bias, Matrix<T> out) {
  preconditions::same_problem(
      plan.problem, preconditions::scaled_gemm(a, b, row_scale, col_scale, bias, out, kDType<T>),
      "scaled_gemm");
  if (plan.state == nullptr) {
    throw std::invalid_argument("scaled_gemm: the plan is empty; make one with plan_scaled_gemm");
  }
  gemm_s8(backend, plan.state->product, a, b, plan.state->view());
  dequantize<T>(backend, plan.state->view(), row_scale, col_scale, bias, out);
}

Matrix<const s32> accumulators(const ScaledGemmPlan<Cpu>& plan) {
  if (plan.state == nullptr) return {};
  return plan.state->view();
}

#define OCTET_INSTANTIATE(T)                                                                      \
  template ScaledGemmPlan<Cpu> plan_scaled_gemm(GemmWorkspace<Cpu>&, Matrix<const s8>,            \
                                                Matrix<const s8>, Vector<const float>,            \
                                                Vector<const float>, Vector<const T>, Matrix<T>); \
  template void scaled_gemm(Cpu, const ScaledGemmPlan<Cpu>&, Matrix<const s8>, Matrix<const s8>,  \
                            Vector<const float>, Vector<const float>, Vector<const T>, Matrix<T>)
OCTET_INSTANTIATE(f16);
OCTET_INSTANTIATE(bf16);
OCTET_INSTANTIATE(f32);

}  // namespace octet
