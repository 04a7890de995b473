// Products: gemm_s8, and gemm for f16 and bf16.
//
// A plan says who runs a problem:
//   fill      an extent is 0: D becomes the bias, or zero
//   cublaslt  what the library takes, with the algorithm that was measured to be the best
//             (gemm_tuning.cpp), or that the workspace pins
//   sm90      on compute capability 9.0, single row-major int8 problems whose rows start at
//             multiples of 16 bytes, where it is pinned or cuBLASLt takes none of them
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

#include "cuda/candidates.hpp"
#include "cuda/error.hpp"
#include "cuda/gemm_cublaslt.hpp"
#include "cuda/gemm_fill.hpp"
#include "cuda/gemm_mma.hpp"
#include "cuda/gemm_sm90.hpp"
#include "cuda/gemm_workspace.hpp"
#include "octet/gemm.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using cuda::GemmKernel;
using cuda::kVector;
using cuda::Matmul;
using cuda::Pin;
using cuda::Pointers;
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

void run_sm90(const Workspace& workspace, const GemmProblem& q, const cuda::GemmSm90Config& config,
              cudaStream_t stream, const Pointers& p) {
  const auto plan =
      cuda::plan_gemm_sm90(cuda::sm90_problem(q, p), config, workspace.device.multiprocessors);
  cuda::gemm_sm90<s32>(stream, plan, {.d = static_cast<s32*>(p.d), .ldd = q.ldd});
}

void run_matmul(const Workspace& workspace, const Matmul& matmul, cudaStream_t stream,
                const Pointers& p) {
  switch (matmul.kernel) {
    case GemmKernel::fill:
      return run_fill(matmul.problem, stream, p);
    case GemmKernel::mma:
      return run_mma(matmul.problem, stream, p);
    case GemmKernel::sm90:
      return matmul.fits(p) ? run_sm90(workspace, matmul.problem, matmul.sm90, stream, p)
                            : run_mma(matmul.problem, stream, p);
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
  // The library's epilogue adds 16-bit biases to e4m3 products.
  const bool f32_bias =
      matmul.problem.operand == DType::e4m3 && matmul.problem.result == DType::f32;
  for (const bool bias_in_d : {false, true}) {
    if (bias_in_d && !matmul.problem.bias) break;
    if (!bias_in_d && matmul.problem.bias && f32_bias) continue;
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

/// The library's algorithm, or mma; false where there is neither.
bool choose_other(Workspace& workspace, Matmul& matmul, const Pointers& p, const Pin& pin) {
  const bool s8 = matmul.problem.operand == DType::s8;
  std::string obstacle;
  if (s8 && pin.kernel == "mma") obstacle = "pinned";
  if (s8 && obstacle.empty()) obstacle = s8_obstacle(workspace, matmul.problem, p);
  if (obstacle.empty()) {
    // An algorithm says nothing of addresses: it holds for operands that any algorithm takes.
    const auto& have = matmul.planned_alignments;
    const bool aligned = *std::min_element(have.begin(), have.end()) == kVector;
    const bool pinned = aligned && pin.kernel == "cublaslt" && !pin.how.empty();
    if (choose(workspace, matmul, p, pinned ? &pin.how : nullptr)) {
      set_required_alignments(matmul, p);
      matmul.kernel = GemmKernel::cublaslt;
      matmul.choice = encode(matmul);
      return true;
    }
    obstacle = "cuBLASLt proposes no kernel that runs";
  }
  matmul.kernel = GemmKernel::mma;
  matmul.algorithm = fmt::format("{} ({})", cuda::kGemmS8MmaName, obstacle);
  return s8;
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
    found = plans.insert(plans.end(), cuda::make_matmul(*workspace.state, problem, p,
                                                        cuda::find_pin(workspace, problem)));
  }
  return {problem, (*found)->algorithm, (*found)->choice,
          std::make_shared<GemmPlanState<Cuda>>(GemmPlanState<Cuda>{workspace.state, *found})};
}

void run(Cuda backend, const GemmPlan<Cuda>& plan, const GemmProblem& problem, const Pointers& p) {
  preconditions::same_problem(plan.problem, problem);
  if (plan.state == nullptr) {
    throw std::invalid_argument("gemm: the plan is empty; make one with plan_gemm or plan_gemm_s8");
  }
  cuda::run(*plan.state->workspace, *plan.state->matmul, backend.stream, p);
}

}  // namespace

namespace cuda {

Pin find_pin(const GemmWorkspace<Cuda>& workspace, const GemmProblem& problem) {
  const auto pinned = workspace.pinned.find(to_text(problem));
  if (pinned == workspace.pinned.end()) return {};
  const std::string& text = pinned->second;
  const std::size_t space = std::min(text.find(' '), text.size());
  const std::string first = text.substr(0, space);
  if (first == "sm90" || first == "mma" || first == "cublaslt") {
    return {first, text.substr(std::min(space + 1, text.size()))};
  }
  return {"cublaslt", text};
}

GemmSm90Problem sm90_problem(const GemmProblem& q, const Pointers& p) {
  return {static_cast<const s8*>(p.a), q.lda, static_cast<const s8*>(p.b), q.ldb, q.m, q.n, q.k};
}

std::vector<GemmSm90Config> sm90_candidates(const Workspace& workspace, const GemmProblem& q,
                                            const Pointers& p, const Pin& pin) {
  constexpr std::size_t kMostTimed = 4;
  const bool other = q.operand != DType::s8 || q.result == DType::s8 || q.batch != 1 ||
                     q.b_layout != LayoutKind::row;
  if (other || workspace.device.compute_capability != 90 ||
      !gemm_sm90_accepts(sm90_problem(q, p)) || (!pin.kernel.empty() && pin.kernel != "sm90")) {
    return {};
  }
  auto configs = gemm_sm90_configs(sm90_problem(q, p), workspace.device.multiprocessors);
  for (const GemmSm90Config& config : configs) {
    if (name(config) == pin.how) return {config};
  }
  configs.resize(std::min(configs.size(), kMostTimed));
  return configs;
}

std::shared_ptr<const Matmul> make_matmul(Workspace& workspace, const GemmProblem& problem,
                                          const Pointers& p, const Pin& pin) {
  auto matmul = std::make_shared<Matmul>();
  matmul->problem = problem;
  matmul->planned_alignments = p.alignments(problem, kVector);
  if (problem.m == 0 || problem.n == 0 || problem.k == 0 || problem.batch == 0) {
    matmul->algorithm = "D filled (an extent is 0)";
    return matmul;
  }
  const auto configs = sm90_candidates(workspace, problem, p, pin);
  const bool sm90_alone = pin.kernel == "sm90" && !configs.empty();
  if (!sm90_alone && !choose_other(workspace, *matmul, p, pin)) {
    throw std::runtime_error(fmt::format("gemm: cuBLASLt has no kernel for {}", to_text(problem)));
  }
  // To s32 cuBLASLt is as fast (1576 TOPS where the best here had 1442), so there is nothing to
  // gain from a choice that may flip from run to run.
  if (configs.empty() || (!sm90_alone && matmul->kernel == GemmKernel::cublaslt)) return matmul;

  const cudaStream_t stream = workspace.library.backend.stream;
  std::vector<Candidate> candidates;
  std::vector<std::string> names;
  for (const GemmSm90Config& config : configs) {
    candidates.push_back([&] {
      run_sm90(workspace, problem, config, stream, p);
      return true;
    });
    names.push_back("sm90 " + name(config));
  }
  if (!sm90_alone) {
    candidates.push_back([&] {
      run_matmul(workspace, *matmul, stream, p);
      return true;
    });
    names.emplace_back(matmul->kernel == GemmKernel::mma ? "mma" : "cublaslt");
  }
  const auto [best, remark] = judge(stream, candidates, names);
  if (best < configs.size()) {
    matmul->kernel = GemmKernel::sm90;
    matmul->sm90 = configs[best];
    matmul->algorithm = "gemm_" + names[best];
    matmul->choice = names[best];
    matmul->required_alignments = {kVector, kVector, 1, 1};
  } else if (matmul->kernel == GemmKernel::mma) {
    matmul->choice = names[best];
  }
  matmul->algorithm += fmt::format(" ({})", remark);
  return matmul;
}

void run(const Workspace& workspace, const Matmul& matmul, cudaStream_t stream, const Pointers& p) {
  run_matmul(workspace, matmul, stream, p);
}

}  // namespace cuda

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
