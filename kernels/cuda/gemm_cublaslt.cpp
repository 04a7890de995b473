// Products through cuBLASLt: gemm_s8, and gemm for f16 and bf16.
//
// cuBLASLt is column-major, so it is asked for the transpose: D^T[N,M] = B[N,K] . A[M,K]^T. Its
// first operand is our B and its second one our A; what is row-major for us lies there as its
// transpose, hence a row-major operand B needs the transpose flag and a row-major operand A none.
//
// A plan takes what the library's heuristic proposes, times each proposal on the caller's operands
// in interleaved rounds, and keeps the one with the lowest median, unless the workspace pins one.
// Int8 problems that cuBLASLt does not take (extents, leading dimensions or addresses that are not
// multiples of 4, or no proposal) go to gemm_s8_mma. K of 0 zeroes D.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda/error.hpp"
#include "cuda/gemm_mma.hpp"
#include "octet/buffer.hpp"
#include "octet/gemm.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

constexpr std::int64_t kWorkspaceBytes = std::int64_t{32} << 20;
constexpr int kProposals = 16;         // asked of the heuristic
constexpr std::size_t kRounds = 3;     // of timing, interleaved over the proposals
constexpr float kRoundUs = 200.0f;     // that a proposal runs in a round, at least
constexpr int kMaxLaunches = 50;       // of a proposal in a round
constexpr std::uint32_t kVector = 16;  // bytes of the widest access whose alignment is remembered

using cuda::check;

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw std::runtime_error(fmt::format("{}: {} ({})", what, cublasLtGetStatusString(status),
                                       cublasLtGetStatusName(status)));
}

struct Destroy {
  void operator()(cublasLtHandle_t h) const { cublasLtDestroy(h); }
  void operator()(cublasLtMatmulDesc_t d) const { cublasLtMatmulDescDestroy(d); }
  void operator()(cublasLtMatrixLayout_t l) const { cublasLtMatrixLayoutDestroy(l); }
  void operator()(cublasLtMatmulPreference_t p) const { cublasLtMatmulPreferenceDestroy(p); }
  void operator()(cudaEvent_t e) const { cudaEventDestroy(e); }
};
template <class T>
using Handle = std::unique_ptr<std::remove_pointer_t<T>, Destroy>;

Handle<cudaEvent_t> make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "creating an event");
  return Handle<cudaEvent_t>(event);
}

struct Pointers {
  const void* a;
  const void* b;
  void* d;

  /// The largest power of two up to `limit` that each address (a, b, d) is a multiple of.
  std::array<std::uint32_t, 3> alignments(std::uint32_t limit) const {
    const auto of = [limit](const void* p) {
      const auto address = reinterpret_cast<std::uintptr_t>(p);
      return static_cast<std::uint32_t>((address | limit) & (~(address | limit) + 1));
    };
    return {of(a), of(b), of(d)};
  }
};

enum class Kernel { zero, mma, cublaslt };

/// How a problem is run. Holds no operands; not changed once it is made.
struct Matmul {
  GemmProblem problem;
  Kernel kernel = Kernel::zero;
  std::string algorithm;
  std::array<std::uint32_t, 3> planned_alignments{};   // of a, b, d, up to kVector
  std::array<std::uint32_t, 3> required_alignments{};  // by the algorithm

  Handle<cublasLtMatmulDesc_t> operation;
  Handle<cublasLtMatrixLayout_t> a, b, d;
  cublasLtMatmulAlgo_t algo{};
  std::size_t workspace_bytes = 0;

  bool fits(const Pointers& pointers) const {
    const auto have = pointers.alignments(256);
    for (std::size_t i = 0; i < have.size(); ++i) {
      if (have[i] < required_alignments[i]) return false;
    }
    return true;
  }
};

cudaDataType_t cuda_type(DType type) {
  switch (type) {
    case DType::s8:
      return CUDA_R_8I;
    case DType::s32:
      return CUDA_R_32I;
    case DType::f16:
      return CUDA_R_16F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f32:
      return CUDA_R_32F;
  }
  throw std::invalid_argument("gemm: unknown type");
}

}  // namespace

template <>
struct GemmWorkspaceState<Cuda> {
  explicit GemmWorkspaceState(Cuda on) : backend(on), memory(on, kWorkspaceBytes) {
    cublasLtHandle_t created = nullptr;
    check(cublasLtCreate(&created), "creating a cuBLASLt handle");
    handle.reset(created);
    fill(on, memory.data(), 0, static_cast<std::size_t>(kWorkspaceBytes));
    synchronize(on);
  }

  Cuda backend;
  Buffer<Cuda, std::byte> memory;
  Handle<cublasLtHandle_t> handle;
  std::vector<std::shared_ptr<const Matmul>> plans;
};

template <>
struct GemmPlanState<Cuda> {
  std::shared_ptr<GemmWorkspaceState<Cuda>> workspace;
  std::shared_ptr<const Matmul> matmul;
};

namespace {

using Workspace = GemmWorkspaceState<Cuda>;

cublasStatus_t launch(const Workspace& workspace, const Matmul& matmul, cudaStream_t stream,
                      const Pointers& p) {
  // Scalars of both scale types; their values are read during the call.
  const s32 one_s32 = 1, zero_s32 = 0;
  const float one_f32 = 1.0f, zero_f32 = 0.0f;
  const bool integer = matmul.problem.operand == DType::s8;
  const void* alpha = integer ? static_cast<const void*>(&one_s32) : &one_f32;
  const void* beta = integer ? static_cast<const void*>(&zero_s32) : &zero_f32;
  return cublasLtMatmul(workspace.handle.get(), matmul.operation.get(), alpha, p.b, matmul.b.get(),
                        p.a, matmul.a.get(), beta, p.d, matmul.d.get(), p.d, matmul.d.get(),
                        &matmul.algo, workspace.memory.data(), matmul.workspace_bytes, stream);
}

void run_mma(const GemmProblem& q, cudaStream_t stream, const Pointers& p) {
  cuda::gemm_s8_mma(stream, static_cast<const s8*>(p.a), q.lda, static_cast<const s8*>(p.b), q.ldb,
                    static_cast<s32*>(p.d), q.ldd, q.m, q.n, q.k);
}

/// Zeroes D, whose type has no bits set in its zero.
void run_zero(const GemmProblem& q, cudaStream_t stream, const Pointers& p) {
  if (q.m == 0 || q.n == 0) return;
  const auto row_bytes = static_cast<std::size_t>(q.n * size_of(q.result));
  const auto pitch = static_cast<std::size_t>(q.ldd * size_of(q.result));
  if (q.m == 1 || pitch == row_bytes) {
    check(cudaMemsetAsync(p.d, 0, row_bytes * static_cast<std::size_t>(q.m), stream),
          "zeroing a product");
  } else {
    check(cudaMemset2DAsync(p.d, pitch, 0, row_bytes, static_cast<std::size_t>(q.m), stream),
          "zeroing a product");
  }
}

void run(const Workspace& workspace, const Matmul& matmul, cudaStream_t stream, const Pointers& p) {
  switch (matmul.kernel) {
    case Kernel::zero:
      return run_zero(matmul.problem, stream, p);
    case Kernel::mma:
      return run_mma(matmul.problem, stream, p);
    case Kernel::cublaslt:
      break;
  }
  if (matmul.fits(p)) {
    check(launch(workspace, matmul, stream, p), "running a product with cuBLASLt");
  } else if (matmul.problem.operand == DType::s8) {
    run_mma(matmul.problem, stream, p);
  } else {
    const auto& required = matmul.required_alignments;
    throw std::invalid_argument(fmt::format(
        "gemm: the plan was made for a, b and d at multiples of {}, {} and {} bytes, "
        "but they are at {}, {} and {}",
        required[0], required[1], required[2], fmt::ptr(p.a), fmt::ptr(p.b), fmt::ptr(p.d)));
  }
}

/// A matrix of `rows` rows, each of `cols` contiguous elements, as cuBLASLt sees it: its transpose.
Handle<cublasLtMatrixLayout_t> make_layout(DType type, std::int64_t rows, std::int64_t cols,
                                           std::int64_t ld) {
  cublasLtMatrixLayout_t layout = nullptr;
  // The leading dimension of a single row is never used, but it must be a valid one.
  check(cublasLtMatrixLayoutCreate(&layout, cuda_type(type), static_cast<std::uint64_t>(cols),
                                   static_cast<std::uint64_t>(rows), rows == 1 ? cols : ld),
        "describing a matrix to cuBLASLt");
  return Handle<cublasLtMatrixLayout_t>(layout);
}

void describe(Matmul& matmul) {
  const GemmProblem& q = matmul.problem;
  const bool integer = q.operand == DType::s8;
  constexpr const char* kWhat = "describing a product to cuBLASLt";
  cublasLtMatmulDesc_t operation = nullptr;
  check(cublasLtMatmulDescCreate(&operation, integer ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                                 integer ? CUDA_R_32I : CUDA_R_32F),
        kWhat);
  matmul.operation.reset(operation);
  const cublasOperation_t first = (q.b_layout == LayoutKind::col) ? CUBLAS_OP_N : CUBLAS_OP_T;
  const cublasOperation_t second = (q.a_layout == LayoutKind::col) ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(
      cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof(first)),
      kWhat);
  check(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSB, &second,
                                       sizeof(second)),
        kWhat);
  matmul.a = (q.a_layout == LayoutKind::col) ? make_layout(q.operand, q.k, q.m, q.lda)
                                             : make_layout(q.operand, q.m, q.k, q.lda);
  matmul.b = (q.b_layout == LayoutKind::col) ? make_layout(q.operand, q.k, q.n, q.ldb)
                                             : make_layout(q.operand, q.n, q.k, q.ldb);
  matmul.d = make_layout(q.result, q.m, q.n, q.ldd);
}

/// What the heuristic proposes for operands at these addresses; none where it knows no kernel.
std::vector<cublasLtMatmulHeuristicResult_t> propose(const Workspace& workspace,
                                                     const Matmul& matmul, const Pointers& p) {
  constexpr const char* kWhat = "stating preferences to cuBLASLt";
  cublasLtMatmulPreference_t created = nullptr;
  check(cublasLtMatmulPreferenceCreate(&created), kWhat);
  const Handle<cublasLtMatmulPreference_t> preference(created);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(created, attribute, &value, sizeof(value)), kWhat);
  };
  const auto [a, b, d] = p.alignments(256);
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kWorkspaceBytes));
  // Split-K that adds its parts in the output's type rounds each of them to 16 bits, and in an
  // order of its own; the contract is f32 accumulation and one rounding. Integers are exact either
  // way.
  if (matmul.problem.operand != DType::s8) {
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  }
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, d);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d);

  std::vector<cublasLtMatmulHeuristicResult_t> results(kProposals);
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      workspace.handle.get(), matmul.operation.get(), matmul.b.get(), matmul.a.get(),
      matmul.d.get(), matmul.d.get(), created, kProposals, results.data(), &found);
  results.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(found) : 0);
  std::erase_if(results, [](const cublasLtMatmulHeuristicResult_t& r) {
    return r.state != CUBLAS_STATUS_SUCCESS ||
           r.workspaceSize > static_cast<std::size_t>(kWorkspaceBytes);
  });
  return results;
}

template <class T>
T config(const cublasLtMatmulAlgo_t& algo, cublasLtMatmulAlgoConfigAttributes_t attribute) {
  T value{};
  std::size_t written = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoConfigGetAttribute(&algo, attribute, &value, sizeof(value), &written);
  return status == CUBLAS_STATUS_SUCCESS ? value : T{};
}

/// The enumerators' values; cublasLt.h has their names.
std::string describe(const cublasLtMatmulAlgo_t& algo, const std::string& how) {
  const std::size_t version = cublasLtGetVersion();
  return fmt::format(
      "cublasLt {}.{} algo {} tile {} stages {} cluster {} inner {} split-k {} reduction {} "
      "swizzle {} custom {} ({})",
      version / 10000, version / 100 % 100, config<std::int32_t>(algo, CUBLASLT_ALGO_CONFIG_ID),
      config<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_TILE_ID),
      config<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_STAGES_ID),
      config<std::uint16_t>(algo, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID),
      config<std::uint16_t>(algo, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID),
      config<std::int32_t>(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
      config<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
      config<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING),
      config<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION), how);
}

/// What the algorithm says it needs, and not less than the vectors that it was promised.
std::uint32_t required_alignment(const cublasLtMatmulAlgo_t& algo,
                                 cublasLtMatmulAlgoCapAttributes_t attribute,
                                 std::uint32_t promised) {
  std::uint32_t value = 0;
  std::size_t written = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoCapGetAttribute(&algo, attribute, &value, sizeof(value), &written);
  if (status != CUBLAS_STATUS_SUCCESS) value = 0;
  return std::min(promised, std::max(value, kVector));
}

/// Times proposals on a stream.
class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream) : stream_(stream) {}

  /// Microseconds of one of `launches` calls of `work`, which answers with a status; infinity when
  /// one is refused.
  template <class Work>
  float time_us(int launches, const Work& work) {
    bool refused = false;
    check(cudaEventRecord(start_.get(), stream_), "timing a product");
    for (int i = 0; i < launches && !refused; ++i) refused = work() != CUBLAS_STATUS_SUCCESS;
    check(cudaEventRecord(stop_.get(), stream_), "timing a product");
    check(cudaEventSynchronize(stop_.get()), "timing a product");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, start_.get(), stop_.get()), "timing a product");
    return refused ? std::numeric_limits<float>::infinity()
                   : ms * 1000.0f / static_cast<float>(launches);
  }

 private:
  cudaStream_t stream_;
  Handle<cudaEvent_t> start_ = make_event(), stop_ = make_event();
};

/// Sets the algorithm to the proposal with the lowest median; false when none runs.
bool choose(const Workspace& workspace, Matmul& matmul, const Pointers& p) {
  struct Candidate {
    cublasLtMatmulHeuristicResult_t proposal;
    int launches = 1;
    std::array<float, kRounds> us{};
    float median_us() const {
      std::array<float, kRounds> sorted = us;
      std::sort(sorted.begin(), sorted.end());
      return sorted[kRounds / 2];
    }
  };
  Stopwatch stopwatch(workspace.backend.stream);
  const auto time_us = [&](const Candidate& candidate, int launches) {
    matmul.algo = candidate.proposal.algo;
    matmul.workspace_bytes = candidate.proposal.workspaceSize;
    return stopwatch.time_us(
        launches, [&] { return launch(workspace, matmul, workspace.backend.stream, p); });
  };

  std::vector<Candidate> candidates;
  for (const auto& proposal : propose(workspace, matmul, p)) {
    Candidate candidate{.proposal = proposal};
    if (!std::isfinite(time_us(candidate, 1))) continue;  // the first launch loads the kernel
    const float estimate_us = std::max(time_us(candidate, 1), 1.0f);
    candidate.launches =
        std::clamp(static_cast<int>(std::ceil(kRoundUs / estimate_us)), 1, kMaxLaunches);
    candidates.push_back(candidate);
  }
  if (candidates.empty()) return false;
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (Candidate& candidate : candidates) {
      candidate.us[round] = time_us(candidate, candidate.launches);
    }
  }
  const Candidate& best =
      *std::min_element(candidates.begin(), candidates.end(),
                        [](const auto& x, const auto& y) { return x.median_us() < y.median_us(); });
  matmul.algo = best.proposal.algo;
  matmul.workspace_bytes = best.proposal.workspaceSize;
  matmul.algorithm = describe(matmul.algo, fmt::format("best of {}", candidates.size()));
  return true;
}

void set_required_alignments(Matmul& matmul, const Pointers& p) {
  const auto [a, b, d] = p.alignments(256);
  matmul.required_alignments = {
      required_alignment(matmul.algo, CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_B_BYTES, a),
      required_alignment(matmul.algo, CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_A_BYTES, b),
      required_alignment(matmul.algo, CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_D_BYTES, d)};
}

/// Why cuBLASLt cannot take an int8 problem; empty when it can.
std::string s8_obstacle(const GemmProblem& q, const Pointers& p) {
  const auto odd = [](std::int64_t value) { return value % 4 != 0; };
  if (odd(q.m) || odd(q.n) || odd(q.k)) return "M, N or K is no multiple of 4";
  if (odd(q.lda) || odd(q.ldb) || odd(q.ldd)) return "a leading dimension is no multiple of 4";
  const auto alignments = p.alignments(4);
  if (*std::min_element(alignments.begin(), alignments.end()) < 4) {
    return "an operand's address is no multiple of 4";
  }
  return {};
}

/// An algorithm as a text: the words of the opaque struct, then its workspace.
std::string encode(const Matmul& matmul) {
  std::string text;
  for (const std::uint64_t word : matmul.algo.data) text += fmt::format("{:x} ", word);
  return text + fmt::format("{:x}", matmul.workspace_bytes);
}

/// Takes a choice that an earlier plan made; false where this library does not take it.
bool choose_pinned(const Workspace& workspace, Matmul& matmul, const std::string& choice) {
  std::istringstream words(choice);
  words >> std::hex;
  for (std::uint64_t& word : matmul.algo.data) words >> word;
  words >> matmul.workspace_bytes;
  cublasLtMatmulHeuristicResult_t result{};
  if (!words || matmul.workspace_bytes > static_cast<std::size_t>(kWorkspaceBytes) ||
      cublasLtMatmulAlgoCheck(workspace.handle.get(), matmul.operation.get(), matmul.b.get(),
                              matmul.a.get(), matmul.d.get(), matmul.d.get(), &matmul.algo,
                              &result) != CUBLAS_STATUS_SUCCESS ||
      result.workspaceSize > matmul.workspace_bytes) {
    return false;
  }
  matmul.algorithm = describe(matmul.algo, "pinned");
  return true;
}

std::shared_ptr<const Matmul> make_matmul(const Workspace& workspace, const GemmProblem& problem,
                                          const Pointers& p, const std::string* pinned) {
  auto matmul = std::make_shared<Matmul>();
  matmul->problem = problem;
  matmul->planned_alignments = p.alignments(kVector);
  if (problem.m == 0 || problem.n == 0 || problem.k == 0) {
    matmul->algorithm = "D zeroed (an extent is 0)";
    return matmul;
  }
  std::string obstacle;
  if (problem.operand == DType::s8) obstacle = s8_obstacle(problem, p);
  if (obstacle.empty()) {
    describe(*matmul);
    if ((pinned != nullptr && choose_pinned(workspace, *matmul, *pinned)) ||
        choose(workspace, *matmul, p)) {
      set_required_alignments(*matmul, p);
      matmul->kernel = Kernel::cublaslt;
      return matmul;
    }
    obstacle = "cuBLASLt proposes no kernel that runs";
  }
  if (problem.operand != DType::s8) {
    throw std::runtime_error(fmt::format(
        "gemm: cuBLASLt has no kernel for M {} N {} K {} of {}, lda {}, ldb {}, ldd {}, transposed "
        "{} {}",
        problem.m, problem.n, problem.k, name(problem.operand), problem.lda, problem.ldb,
        problem.ldd, problem.a_layout == LayoutKind::col, problem.b_layout == LayoutKind::col));
  }
  matmul->kernel = Kernel::mma;
  matmul->algorithm = fmt::format("gemm_s8_mma 128x128x64 stages 4 ({})", obstacle);
  return matmul;
}

GemmPlan<Cuda> plan(GemmWorkspace<Cuda>& workspace, const GemmProblem& problem, const Pointers& p) {
  if (workspace.state == nullptr) {
    throw std::invalid_argument("gemm: the workspace is empty; make one with make_gemm_workspace");
  }
  auto& plans = workspace.state->plans;
  auto found = std::find_if(plans.begin(), plans.end(), [&](const auto& known) {
    return known->problem == problem && known->planned_alignments == p.alignments(kVector) &&
           known->fits(p);
  });
  if (found == plans.end()) {
    // A choice says nothing of addresses: it holds for operands that any algorithm takes.
    const auto alignments = p.alignments(kVector);
    const bool aligned = *std::min_element(alignments.begin(), alignments.end()) == kVector;
    const auto pin = workspace.pinned.find(to_text(problem));
    found = plans.insert(
        plans.end(),
        make_matmul(*workspace.state, problem, p,
                    aligned && pin != workspace.pinned.end() ? &pin->second : nullptr));
  }
  return {problem, (*found)->algorithm,
          (*found)->kernel == Kernel::cublaslt ? encode(**found) : std::string(),
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

GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Batch<const s8> a, Batch<const s8> b,
                            Batch<s32> d) {
  return plan(workspace, preconditions::gemm_s8(a.first, b.first, d.first),
              {a.first.data, b.first.data, d.first.data});
}

void gemm_s8(Cuda backend, const GemmPlan<Cuda>& plan, Batch<const s8> a, Batch<const s8> b,
             Batch<s32> d) {
  run(backend, plan, preconditions::gemm_s8(a.first, b.first, d.first),
      {a.first.data, b.first.data, d.first.data});
}

template <class T>
GemmPlan<Cuda> plan_gemm(GemmWorkspace<Cuda>& workspace, Operand<T> a, Operand<T> b, Batch<T> d,
                         Vector<const T>) {
  return plan(workspace, preconditions::gemm(a, b, d.first), {a.data, b.data, d.first.data});
}

template <class T>
void gemm(Cuda backend, const GemmPlan<Cuda>& plan, Operand<T> a, Operand<T> b, Batch<T> d,
          Vector<const T>) {
  run(backend, plan, preconditions::gemm(a, b, d.first), {a.data, b.data, d.first.data});
}

template GemmPlan<Cuda> plan_gemm(GemmWorkspace<Cuda>&, Operand<f16>, Operand<f16>, Batch<f16>,
                                  Vector<const f16>);
template GemmPlan<Cuda> plan_gemm(GemmWorkspace<Cuda>&, Operand<bf16>, Operand<bf16>, Batch<bf16>,
                                  Vector<const bf16>);
template void gemm(Cuda, const GemmPlan<Cuda>&, Operand<f16>, Operand<f16>, Batch<f16>,
                   Vector<const f16>);
template void gemm(Cuda, const GemmPlan<Cuda>&, Operand<bf16>, Operand<bf16>, Batch<bf16>,
                   Vector<const bf16>);

}  // namespace octet
