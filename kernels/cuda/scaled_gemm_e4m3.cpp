// scaled_gemm of e4m3 on CUDA: cuBLASLt with a vector of scales for each operand
// (CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F). Candidates are timed and a choice is pinned as for
// gemm (gemm_tuning.cpp); both ways to accumulate are problems of their own.
//
// Results may be f16, bf16 and f32. A bias is added in the library's epilogue, and where it has
// none for the type D is filled with the bias first and the scaled product added to it.
#include "octet/scaled_gemm_e4m3.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include "cuda/gemm_workspace.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using cuda::cublasLtGetVersion;
using cuda::kVector;
using cuda::Matmul;
using cuda::Pointers;
using Workspace = GemmWorkspaceState<Cuda>;

constexpr std::size_t kLeastVersion = 120900;  // of cuBLASLt, that has vectors of scales

[[noreturn]] void refuse(const Workspace& workspace, const GemmProblem& problem) {
  const std::size_t version = cublasLtGetVersion();
  const int capability = workspace.device.compute_capability;
  throw std::runtime_error(fmt::format(
      "scaled_gemm: cuBLASLt {}.{} has no kernel for {} on compute capability {}.{}; it multiplies "
      "e4m3 with a scale for each row from 12.9 on, on 9.0, where N and K are multiples of 16 and "
      "rows start at multiples of 16 bytes",
      version / 10000, version / 100 % 100, to_text(problem), capability / 10, capability % 10));
}

template <class T>
struct Operands {
  Matrix<const e4m3> a, b;
  Vector<const float> row_scale, col_scale;
  Vector<const T> bias;
  Matrix<T> out;

  GemmProblem problem(Accumulation accumulation) const {
    return preconditions::scaled_gemm(a, b, row_scale, col_scale, bias, out, kDType<T>, DType::e4m3,
                                      accumulation);
  }
  Pointers pointers() const {
    return {.a = a.data,
            .b = b.data,
            .d = out.data,
            .bias = bias.data,
            .row_scale = row_scale.data,
            .col_scale = col_scale.data};
  }
};

/// Whether the library proposes an algorithm.
bool is_proposed(const Workspace& workspace, const GemmProblem& problem, const Pointers& p) {
  if (cublasLtGetVersion() < kLeastVersion) return false;
  for (const bool bias_in_d : {false, true}) {
    Matmul probe;
    probe.problem = problem;
    probe.bias_in_d = bias_in_d && problem.bias;
    describe(probe);
    if (!propose(workspace.library, probe, p).empty()) return true;
  }
  return false;
}

}  // namespace

bool multiplies_e4m3(GemmWorkspace<Cuda>& workspace) {
  if (workspace.state == nullptr) {
    throw std::invalid_argument(
        "multiplies_e4m3: the workspace is empty; make one with make_gemm_workspace");
  }
  constexpr std::int64_t kExtent = 256;
  void* somewhere = workspace.state->library.memory.data();  // only its alignment is asked for
  const auto* scales = static_cast<const float*>(somewhere);
  const GemmProblem problem{.m = kExtent,
                            .n = kExtent,
                            .k = kExtent,
                            .operand = DType::e4m3,
                            .result = DType::bf16,
                            .lda = kExtent,
                            .ldb = kExtent,
                            .ldd = kExtent};
  return is_proposed(
      *workspace.state, problem,
      {.a = somewhere, .b = somewhere, .d = somewhere, .row_scale = scales, .col_scale = scales});
}

template <class T>
GemmPlan<Cuda> plan_scaled_gemm(GemmWorkspace<Cuda>& workspace, Matrix<const e4m3> a,
                                Matrix<const e4m3> b, Vector<const float> row_scale,
                                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out,
                                Accumulation accumulation) {
  const Operands<T> o{a, b, row_scale, col_scale, bias, out};
  const GemmProblem problem = o.problem(accumulation);
  const Pointers p = o.pointers();
  if (workspace.state == nullptr) {
    throw std::invalid_argument(
        "scaled_gemm: the workspace is empty; make one with make_gemm_workspace");
  }
  Workspace& state = *workspace.state;
  const auto alignments = p.alignments(problem, kVector);
  auto found = std::find_if(state.plans.begin(), state.plans.end(), [&](const auto& known) {
    return known->problem == problem && known->planned_alignments == alignments && known->fits(p);
  });
  if (found == state.plans.end()) {
    const bool is_empty = problem.m == 0 || problem.n == 0 || problem.k == 0;
    if (!is_empty && !is_proposed(state, problem, p)) refuse(state, problem);
    found = state.plans.insert(
        state.plans.end(),
        cuda::make_matmul(state, problem, p, cuda::find_pin(workspace, problem)));
  }
  return {problem, fmt::format("{}, {}", (*found)->algorithm, name(accumulation)), (*found)->choice,
          std::make_shared<GemmPlanState<Cuda>>(GemmPlanState<Cuda>{workspace.state, *found})};
}

template <class T>
void scaled_gemm(Cuda backend, const GemmPlan<Cuda>& plan, Matrix<const e4m3> a,
                 Matrix<const e4m3> b, Vector<const float> row_scale, Vector<const float> col_scale,
                 Vector<const T> bias, Matrix<T> out) {
  const Operands<T> o{a, b, row_scale, col_scale, bias, out};
  preconditions::same_problem(plan.problem, o.problem(plan.problem.accumulation), "scaled_gemm");
  if (plan.state == nullptr) {
    throw std::invalid_argument("scaled_gemm: the plan is empty; make one with plan_scaled_gemm");
  }
  cuda::run(*plan.state->workspace, *plan.state->matmul, backend.stream, o.pointers());
}

#define OCTET_INSTANTIATE(T)                                                                     \
  template GemmPlan<Cuda> plan_scaled_gemm(                                                      \
      GemmWorkspace<Cuda>&, Matrix<const e4m3>, Matrix<const e4m3>, Vector<const float>,         \
      Vector<const float>, Vector<const T>, Matrix<T>, Accumulation);                            \
  template void scaled_gemm(Cuda, const GemmPlan<Cuda>&, Matrix<const e4m3>, Matrix<const e4m3>, \
                            Vector<const float>, Vector<const float>, Vector<const T>, Matrix<T>)
OCTET_INSTANTIATE(f16);
OCTET_INSTANTIATE(bf16);
OCTET_INSTANTIATE(f32);

}  // namespace octet
