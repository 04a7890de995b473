// Products: gemm_s8, and gemm for f16 and bf16.
//
// A plan says who runs a problem:
//   fill      an extent is 0: D becomes the bias, or zero
//   cublaslt  what the library takes, with the algorithm that was measured to be the best
//             (gemm_tuning.cpp), or that the workspace pins
//   mma       int8 problems that it does not take (extents, leading dimensions, strides or
//             addresses that are not multiples of 4, padded panels of a tiled order, an order that
//             it has no kernel for on this device) and s8 results
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cuda/error.hpp"
#include "cuda/gemm_cublaslt.hpp"
#include "cuda/gemm_fill.hpp"
#include "cuda/gemm_mma.hpp"
#include "octet/gemm.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using cuda::GemmKernel;
using cuda::kVector;
using cuda::Matmul;
using cuda::Pointers;

}  // namespace

template <>
struct GemmWorkspaceState<Cuda> {
  explicit GemmWorkspaceState(Cuda on) : library(on) {}

  cuda::GemmLibrary library;
  std::vector<std::shared_ptr<const Matmul>> plans;
  std::array<std::optional<bool>, 5> multiplies{};  // by LayoutKind of b, once it was asked
};

template <>
struct GemmPlanState<Cuda> {
  std::shared_ptr<GemmWorkspaceState<Cuda>> workspace;
  std::shared_ptr<const Matmul> matmul;
};

namespace {

using Workspace = GemmWorkspaceState<Cuda>;

void run_mma(const GemmProblem& q, cudaStream_t stream, const Pointers& p) {
  cuda::gemm_s8_mma(stream, q, static_cast<const s8*>(p.a), static_cast<const s8*>(p.b), p.alpha,
                    p.d);
}

/// Every row of D becomes the bias, or zero.
void run_fill(const GemmProblem& q, cudaStream_t stream, const Pointers& p) {
  cuda::Rows rows{.data = p.d,
                  .element_bytes = size_of(q.result),
                  .rows = q.m,
                  .cols = q.n,
                  .ld = q.ldd,
                  .count = q.batch,
                  .stride = q.d_stride};
  if (q.d_layout == LayoutKind::col32) {
    // A panel is contiguous, its padding is D's to zero, and the next one begins ldd rows of 32 on.
    rows.rows = (q.n + 31) / 32;
    rows.cols = 32 * q.m;
    rows.ld = 32 * q.ldd;
  }
  cuda::fill_rows(stream, q.bias ? p.bias : nullptr, rows);
}

void run(const Workspace& workspace, const Matmul& matmul, cudaStream_t stream, const Pointers& p) {
  switch (matmul.kernel) {
    case GemmKernel::fill:
      return run_fill(matmul.problem, stream, p);
    case GemmKernel::mma:
      return run_mma(matmul.problem, stream, p);
    case GemmKernel::cublaslt:
      break;
  }
  if (matmul.fits(p)) {
    if (matmul.bias_in_d) run_fill(matmul.problem, stream, p);
    cuda::check(launch(workspace.library, matmul, stream, p), "running a product with cuBLASLt");
  } else if (matmul.problem.operand == DType::s8) {
    run_mma(matmul.problem, stream, p);
  } else {
    const auto& required = matmul.required_alignments;
    throw std::invalid_argument(fmt::format(
        "gemm: the plan was made for a, b, d and bias at multiples of {}, {}, {} and {} bytes, "
        "but they are at {}, {}, {} and {}",
        required[0], required[1], required[2], required[3], fmt::ptr(p.a), fmt::ptr(p.b),
        fmt::ptr(p.d), fmt::ptr(p.bias)));
  }
}

bool multiplies(Workspace& workspace, LayoutKind b_layout) {
  std::optional<bool>& known = workspace.multiplies[static_cast<std::size_t>(b_layout)];
  if (known) return *known;
  constexpr std::int64_t kExtent = 256;
  const bool row = b_layout == LayoutKind::row;
  const LayoutKind others = row ? LayoutKind::row : LayoutKind::col32;
  Matmul probe;
  probe.problem = {.m = kExtent,
                   .n = kExtent,
                   .k = kExtent,
                   .a_layout = others,
                   .b_layout = b_layout,
                   .d_layout = others,
                   .lda = kExtent,
                   .ldb = kExtent,
                   .ldd = kExtent};
  describe(probe);
  void* somewhere = workspace.library.memory.data();  // only its alignment is asked for
  known =
      !propose(workspace.library, probe, {.a = somewhere, .b = somewhere, .d = somewhere}).empty();
  return *known;
}

/// Why cuBLASLt cannot take an int8 problem; empty when it can.
std::string s8_obstacle(Workspace& workspace, const GemmProblem& q, const Pointers& p) {
  if (q.result == DType::s8) return "s8 results";
  const auto odd = [](std::int64_t value) { return value % 4 != 0; };
  if (odd(q.m) || odd(q.n) || odd(q.k)) return "M, N or K is no multiple of 4";
  const auto alignments = p.alignments(q, 4);
  if (*std::min_element(alignments.begin(), alignments.end()) < 4) {
    return "an operand's address or stride is no multiple of 4";
  }
  if (q.b_layout == LayoutKind::row) {
    if (odd(q.lda) || odd(q.ldb) || odd(q.ldd)) return "a leading dimension is no multiple of 4";
    if (q.batch > std::numeric_limits<std::int32_t>::max()) return "the batch is too long";
    return {};
  }
  if (q.n % 32 != 0 || q.k % 32 != 0) return "N or K is no multiple of 32";
  if (!multiplies(workspace, q.b_layout)) {
    return fmt::format("cuBLASLt takes no {} on this device", name(q.b_layout));
  }
  return {};
}

bool choose(const Workspace& workspace, Matmul& matmul, const Pointers& p,
            const std::string* pinned) {
  for (const bool bias_in_d : {false, true}) {
    if (bias_in_d && !matmul.problem.bias) break;
    matmul.bias_in_d = bias_in_d;
    describe(matmul);
    if ((pinned != nullptr && choose_pinned(workspace.library, matmul, *pinned)) ||
        choose(workspace.library, matmul, p)) {
      if (bias_in_d) matmul.algorithm += ", added to the bias";
      return true;
    }
  }
  return false;
}

std::shared_ptr<const Matmul> make_matmul(Workspace& workspace, const GemmProblem& problem,
                                          const Pointers& p, const std::string* pinned) {
  auto matmul = std::make_shared<Matmul>();
  matmul->problem = problem;
  matmul->planned_alignments = p.alignments(problem, kVector);
  if (problem.m == 0 || problem.n == 0 || problem.k == 0 || problem.batch == 0) {
    matmul->algorithm = "D filled (an extent is 0)";
    return matmul;
  }
  std::string obstacle;
  if (problem.operand == DType::s8) obstacle = s8_obstacle(workspace, problem, p);
  if (obstacle.empty()) {
    if (choose(workspace, *matmul, p, pinned)) {
      set_required_alignments(*matmul, p);
      matmul->kernel = GemmKernel::cublaslt;
      return matmul;
    }
    obstacle = "cuBLASLt proposes no kernel that runs";
  }
  if (problem.operand != DType::s8) {
    throw std::runtime_error(fmt::format("gemm: cuBLASLt has no kernel for {}", to_text(problem)));
  }
  matmul->kernel = GemmKernel::mma;
  matmul->algorithm = fmt::format("{} ({})", cuda::kGemmS8MmaName, obstacle);
  return matmul;
}

GemmPlan<Cuda> plan(GemmWorkspace<Cuda>& workspace, const GemmProblem& problem, const Pointers& p) {
  if (workspace.state == nullptr) {
    throw std::invalid_argument("gemm: the workspace is empty; make one with make_gemm_workspace");
  }
  const auto alignments = p.alignments(problem, kVector);
  auto& plans = workspace.state->plans;
  auto found = std::find_if(plans.begin(), plans.end(), [&](const auto& known) {
    return known->problem == problem && known->planned_alignments == alignments && known->fits(p);
  });
  if (found == plans.end()) {
    // A choice says nothing of addresses: it holds for operands that any algorithm takes.
    const bool aligned = *std::min_element(alignments.begin(), alignments.end()) == kVector;
    const auto pin = workspace.pinned.find(to_text(problem));
    found = plans.insert(
        plans.end(),
        make_matmul(*workspace.state, problem, p,
                    aligned && pin != workspace.pinned.end() ? &pin->second : nullptr));
  }
  return {problem, (*found)->algorithm,
          (*found)->kernel == GemmKernel::cublaslt ? encode(**found) : std::string(),
          std::make_shared<GemmPlanState<Cuda>>(GemmPlanState<Cuda>{workspace.state, *found})};
}

void run(Cuda backend, const GemmPlan<Cuda>& plan, const GemmProblem& problem, const Pointers& p) {
  preconditions::same_problem(plan.problem, problem);
  if (plan.state == nullptr) {
    throw std::invalid_argument("gemm: the plan is empty; make one with plan_gemm or plan_gemm_s8");
  }
  run(*plan.state->workspace, *plan.state->matmul, backend.stream, p);
}

}  // namespace

GemmWorkspace<Cuda> make_gemm_workspace(Cuda backend) {
  return {std::make_shared<GemmWorkspaceState<Cuda>>(backend)};
}

bool library_multiplies(GemmWorkspace<Cuda>& workspace, LayoutKind b_layout) {
  preconditions::library_multiplies(b_layout);
  if (workspace.state == nullptr) {
    throw std::invalid_argument(
        "library_multiplies: the workspace is empty; make one with make_gemm_workspace");
  }
  return multiplies(*workspace.state, b_layout);
}

GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Batch<const s8> a, Batch<const s8> b,
                            Batch<s32> d) {
  return plan(workspace, preconditions::gemm_s8(a, b, d),
              {.a = a.first.data, .b = b.first.data, .d = d.first.data});
}

void gemm_s8(Cuda backend, const GemmPlan<Cuda>& plan, Batch<const s8> a, Batch<const s8> b,
             Batch<s32> d) {
  run(backend, plan, preconditions::gemm_s8(a, b, d),
      {.a = a.first.data, .b = b.first.data, .d = d.first.data});
}

GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Matrix<const s8> a, Matrix<const s8> b,
                            Vector<const float> alpha, Matrix<s8> d) {
  return plan(workspace, preconditions::gemm_s8(a, b, alpha, d),
              {.a = a.data, .b = b.data, .d = d.data, .alpha = alpha.data});
}

void gemm_s8(Cuda backend, const GemmPlan<Cuda>& plan, Matrix<const s8> a, Matrix<const s8> b,
             Vector<const float> alpha, Matrix<s8> d) {
  run(backend, plan, preconditions::gemm_s8(a, b, alpha, d),
      {.a = a.data, .b = b.data, .d = d.data, .alpha = alpha.data});
}

template <class L>
GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Matrix<const s8, Col32> a,
                            Matrix<const s8, L> b, Matrix<s32, Col32> d) {
  return plan(workspace, preconditions::gemm_s8(a, b, d), {.a = a.data, .b = b.data, .d = d.data});
}

template <class L>
void gemm_s8(Cuda backend, const GemmPlan<Cuda>& plan, Matrix<const s8, Col32> a,
             Matrix<const s8, L> b, Matrix<s32, Col32> d) {
  run(backend, plan, preconditions::gemm_s8(a, b, d), {.a = a.data, .b = b.data, .d = d.data});
}

template <class L>
GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Matrix<const s8, Col32> a,
                            Matrix<const s8, L> b, Vector<const float> alpha, Matrix<s8, Col32> d) {
  return plan(workspace, preconditions::gemm_s8(a, b, alpha, d),
              {.a = a.data, .b = b.data, .d = d.data, .alpha = alpha.data});
}

template <class L>
void gemm_s8(Cuda backend, const GemmPlan<Cuda>& plan, Matrix<const s8, Col32> a,
             Matrix<const s8, L> b, Vector<const float> alpha, Matrix<s8, Col32> d) {
  run(backend, plan, preconditions::gemm_s8(a, b, alpha, d),
      {.a = a.data, .b = b.data, .d = d.data, .alpha = alpha.data});
}

template <class T>
GemmPlan<Cuda> plan_gemm(GemmWorkspace<Cuda>& workspace, Operand<T> a, Operand<T> b, Batch<T> d,
                         Vector<const T> bias) {
  return plan(workspace, preconditions::gemm(a, b, d, bias),
              {.a = a.data, .b = b.data, .d = d.first.data, .bias = bias.data});
}

template <class T>
void gemm(Cuda backend, const GemmPlan<Cuda>& plan, Operand<T> a, Operand<T> b, Batch<T> d,
          Vector<const T> bias) {
  run(backend, plan, preconditions::gemm(a, b, d, bias),
      {.a = a.data, .b = b.data, .d = d.first.data, .bias = bias.data});
}

#define OCTET_INSTANTIATE_TILED(L)                                                                 \
  template GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>&, Matrix<const s8, Col32>,              \
                                       Matrix<const s8, L>, Matrix<s32, Col32>);                   \
  template void gemm_s8(Cuda, const GemmPlan<Cuda>&, Matrix<const s8, Col32>, Matrix<const s8, L>, \
                        Matrix<s32, Col32>);                                                       \
  template GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>&, Matrix<const s8, Col32>,              \
                                       Matrix<const s8, L>, Vector<const float>,                   \
                                       Matrix<s8, Col32>);                                         \
  template void gemm_s8(Cuda, const GemmPlan<Cuda>&, Matrix<const s8, Col32>, Matrix<const s8, L>, \
                        Vector<const float>, Matrix<s8, Col32>)
OCTET_INSTANTIATE_TILED(Col4_4R2_8C);
OCTET_INSTANTIATE_TILED(Col32_2R_4R4);

template GemmPlan<Cuda> plan_gemm(GemmWorkspace<Cuda>&, Operand<f16>, Operand<f16>, Batch<f16>,
                                  Vector<const f16>);
template GemmPlan<Cuda> plan_gemm(GemmWorkspace<Cuda>&, Operand<bf16>, Operand<bf16>, Batch<bf16>,
                                  Vector<const bf16>);
template void gemm(Cuda, const GemmPlan<Cuda>&, Operand<f16>, Operand<f16>, Batch<f16>,
                   Vector<const f16>);
template void gemm(Cuda, const GemmPlan<Cuda>&, Operand<bf16>, Operand<bf16>, Batch<bf16>,
                   Vector<const bf16>);

}  // namespace octet
