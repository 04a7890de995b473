// scaled_gemm on CUDA. Who runs a problem is measured on its operands when it is planned; all give
// the same bits:
//   sm90      gemm_sm90, scaled in its epilogue: compute capability 9.0, rows of a and b at
//             multiples of 16 bytes
//   mma       gemm_s8_mma_scaled: every problem, compute capability 8.0 and later
//   cublaslt  gemm_s8 by the library into accumulators, then dequantize: problems that the library
//             takes, where 4 M N bytes are left for the accumulators
#include "octet/scaled_gemm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include "cuda/candidates.hpp"
#include "cuda/gemm_mma.hpp"
#include "cuda/gemm_sm90.hpp"
#include "cuda/gemm_workspace.hpp"
#include "octet/buffer.hpp"
#include "octet/dequantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace cuda {

enum class ScaledKernel { mma, sm90, composed };

/// How a problem is run. Holds no operands; not changed once it is made.
struct ScaledProduct {
  GemmProblem problem;
  Alignments planned_alignments{};
  ScaledKernel kernel = ScaledKernel::mma;
  GemmSm90Config sm90{};
  std::shared_ptr<const Matmul> product;  // into accumulators
  std::string algorithm, choice;
};

}  // namespace cuda

template <>
struct ScaledGemmPlanState<Cuda> {
  std::shared_ptr<GemmWorkspaceState<Cuda>> workspace;
  std::shared_ptr<const cuda::ScaledProduct> scaled;
  std::shared_ptr<Buffer<Cuda, s32>> accumulators;  // of a composed product
};

namespace {

using cuda::Pin;
using cuda::Pointers;
using cuda::ScaledKernel;
using cuda::ScaledProduct;
using Workspace = GemmWorkspaceState<Cuda>;

template <class T>
struct Operands {
  Matrix<const s8> a, b;
  Vector<const float> row_scale, col_scale;
  Vector<const T> bias;
  Matrix<T> out;

  GemmProblem problem() const {
    return preconditions::scaled_gemm(a, b, row_scale, col_scale, bias, out, kDType<T>);
  }
  Pointers pointers() const { return {.a = a.data, .b = b.data, .d = out.data, .bias = bias.data}; }
  Pointers product(s32* accumulators) const {
    return {.a = a.data, .b = b.data, .d = accumulators};
  }
};

/// The product alone, its accumulators contiguous.
GemmProblem product_of(GemmProblem q) {
  q.result = DType::s32;
  q.bias = false;
  q.ldd = q.n;
  return q;
}

template <class T>
void run(const Workspace& workspace, const ScaledProduct& scaled, cudaStream_t stream,
         const Operands<T>& o, s32* accumulators) {
  const GemmProblem& q = scaled.problem;
  if (q.m == 0 || q.n == 0) return;
  if (scaled.kernel == ScaledKernel::composed) {
    cuda::run(workspace, *scaled.product, stream, o.product(accumulators));
    dequantize<T>(Cuda{stream}, Matrix<const s32>(accumulators, q.m, q.n), o.row_scale, o.col_scale,
                  o.bias, o.out);
    return;
  }
  const auto problem = cuda::sm90_problem(q, o.pointers());
  if (scaled.kernel == ScaledKernel::sm90 && cuda::gemm_sm90_accepts(problem)) {
    const auto plan = cuda::plan_gemm_sm90(problem, scaled.sm90, workspace.device.multiprocessors);
    cuda::gemm_sm90<T>(stream, plan,
                       {.d = o.out.data,
                        .ldd = q.ldd,
                        .row_scale = o.row_scale.data,
                        .col_scale = o.col_scale.data,
                        .bias = q.bias ? o.bias.data : nullptr});
    return;
  }
  cuda::gemm_s8_mma_scaled<T>(stream, q, o.a.data, o.b.data, o.row_scale.data, o.col_scale.data,
                              q.bias ? o.bias.data : nullptr, o.out.data);
}

/// Accumulators of a problem, the workspace's where they are large enough. A plan or a graph may
/// hold smaller ones, which therefore stay as they are.
std::shared_ptr<Buffer<Cuda, s32>> take_accumulators(const Workspace& workspace,
                                                     const GemmProblem& q) {
  const auto& shared = workspace.accumulators;
  if (shared != nullptr && shared->size() >= q.m * q.n) return shared;
  return std::make_shared<Buffer<Cuda, s32>>(workspace.library.backend, q.m * q.n);
}

/// The same; none where they do not fit in the device's memory.
std::shared_ptr<Buffer<Cuda, s32>> find_room(const Workspace& workspace, const GemmProblem& q) {
  try {
    return take_accumulators(workspace, q);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

template <class T>
std::shared_ptr<const ScaledProduct> make_scaled(Workspace& workspace, const GemmProblem& q,
                                                 const Operands<T>& o, const Pin& pin) {
  ScaledProduct base;
  base.problem = q;
  base.planned_alignments = o.pointers().alignments(q, cuda::kVector);
  if (q.m == 0 || q.n == 0) {
    base.algorithm = "nothing to do (an extent is 0)";
    return std::make_shared<ScaledProduct>(std::move(base));
  }
  std::vector<ScaledProduct> ways;
  for (const auto& config : cuda::sm90_candidates(workspace, q, o.pointers(), pin)) {
    ScaledProduct& way = ways.emplace_back(base);
    way.kernel = ScaledKernel::sm90;
    way.sm90 = config;
    way.choice = "sm90 " + name(config);
    way.algorithm = "gemm_" + way.choice;
  }
  const bool sm90_alone = pin.kernel == "sm90" && !ways.empty();
  std::shared_ptr<Buffer<Cuda, s32>> accumulators;
  if (!sm90_alone && pin.kernel != "mma") {
    accumulators = find_room(workspace, q);
    if (accumulators != nullptr) {
      const Pin library{"cublaslt", pin.kernel == "cublaslt" ? pin.how : ""};
      ScaledProduct way = base;
      way.kernel = ScaledKernel::composed;
      way.product =
          cuda::make_matmul(workspace, product_of(q), o.product(accumulators->data()), library);
      way.algorithm = way.product->algorithm + ", then dequantize";
      way.choice = way.product->choice.empty() ? "cublaslt" : "cublaslt " + way.product->choice;
      // Where the library does not take the product, mma scales at once.
      if (way.product->kernel == cuda::GemmKernel::cublaslt || pin.kernel == "cublaslt") {
        ways.push_back(std::move(way));
      }
    }
  }
  const bool library_alone = pin.kernel == "cublaslt" && !ways.empty();
  if (!sm90_alone && !library_alone) {
    ScaledProduct& way = ways.emplace_back(base);
    way.choice = "mma";
    way.algorithm = fmt::format("{}, scaled", cuda::kGemmS8MmaName);
  }

  const cudaStream_t stream = workspace.library.backend.stream;
  std::vector<cuda::Candidate> candidates;
  std::vector<std::string> names;
  for (const ScaledProduct& way : ways) {
    candidates.push_back([&] {
      run(workspace, way, stream, o, accumulators == nullptr ? nullptr : accumulators->data());
      return true;
    });
    names.push_back(way.kernel == ScaledKernel::composed ? "cublaslt" : way.choice);
  }
  const auto [best, remark] = cuda::judge(stream, candidates, names);
  ways[best].algorithm += fmt::format(" ({})", remark);
  return std::make_shared<ScaledProduct>(std::move(ways[best]));
}

}  // namespace

template <class T>
ScaledGemmPlan<Cuda> plan_scaled_gemm(GemmWorkspace<Cuda>& workspace, Matrix<const s8> a,
                                      Matrix<const s8> b, Vector<const float> row_scale,
                                      Vector<const float> col_scale, Vector<const T> bias,
                                      Matrix<T> out) {
  const Operands<T> o{a, b, row_scale, col_scale, bias, out};
  const GemmProblem problem = o.problem();
  if (workspace.state == nullptr) {
    throw std::invalid_argument(
        "scaled_gemm: the workspace is empty; make one with make_gemm_workspace");
  }
  Workspace& state = *workspace.state;
  const auto alignments = o.pointers().alignments(problem, cuda::kVector);
  auto& plans = state.scaled_plans;
  auto found = std::find_if(plans.begin(), plans.end(), [&](const auto& known) {
    return known->problem == problem && known->planned_alignments == alignments;
  });
  if (found == plans.end()) {
    found = plans.insert(plans.end(),
                         make_scaled(state, problem, o, cuda::find_pin(workspace, problem)));
  }
  const ScaledProduct& scaled = **found;
  auto plan_state = std::make_shared<ScaledGemmPlanState<Cuda>>(
      ScaledGemmPlanState<Cuda>{workspace.state, *found, {}});
  if (scaled.kernel == ScaledKernel::composed) {
    state.accumulators = take_accumulators(state, problem);
    plan_state->accumulators = state.accumulators;
  }
  return {problem, scaled.algorithm, scaled.choice, std::move(plan_state)};
}

template <class T>
void scaled_gemm(Cuda backend, const ScaledGemmPlan<Cuda>& plan, Matrix<const s8> a,
                 Matrix<const s8> b, Vector<const float> row_scale, Vector<const float> col_scale,
                 Vector<const T> bias, Matrix<T> out) {
  const Operands<T> o{a, b, row_scale, col_scale, bias, out};
  preconditions::same_problem(plan.problem, o.problem(), "scaled_gemm");
  if (plan.state == nullptr) {
    throw std::invalid_argument("scaled_gemm: the plan is empty; make one with plan_scaled_gemm");
  }
  const auto& accumulators = plan.state->accumulators;
  run(*plan.state->workspace, *plan.state->scaled, backend.stream, o,
      accumulators == nullptr ? nullptr : accumulators->data());
}

Matrix<const s32> accumulators(const ScaledGemmPlan<Cuda>& plan) {
  if (plan.state == nullptr || plan.state->accumulators == nullptr) return {};
  return {plan.state->accumulators->data(), plan.problem.m, plan.problem.n};
}

#define OCTET_INSTANTIATE(T)                                                                       \
  template ScaledGemmPlan<Cuda> plan_scaled_gemm(GemmWorkspace<Cuda>&, Matrix<const s8>,           \
                                                 Matrix<const s8>, Vector<const float>,            \
                                                 Vector<const float>, Vector<const T>, Matrix<T>); \
  template void scaled_gemm(Cuda, const ScaledGemmPlan<Cuda>&, Matrix<const s8>, Matrix<const s8>, \
                            Vector<const float>, Vector<const float>, Vector<const T>, Matrix<T>)
OCTET_INSTANTIATE(f16);
OCTET_INSTANTIATE(bf16);
OCTET_INSTANTIATE(f32);

}  // namespace octet
