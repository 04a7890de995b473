// Which of cuBLASLt's algorithms runs a product; the contract is gemm_cublaslt.hpp.
//
// What the library's heuristic proposes is timed on the caller's operands in interleaved rounds;
// the proposal with the lowest median stays.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "cuda/error.hpp"
#include "cuda/gemm_cublaslt.hpp"

namespace octet::cuda {
namespace {

constexpr std::size_t kRounds = 3;  // of timing, interleaved over the proposals
constexpr float kRoundUs = 200.0f;  // that a proposal runs in a round, at least
constexpr int kMaxLaunches = 50;    // of a proposal in a round

Handle<cudaEvent_t> make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "creating an event");
  return Handle<cudaEvent_t>(event);
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

}  // namespace

bool choose(const GemmLibrary& library, Matmul& matmul, const Pointers& p) {
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
  Stopwatch stopwatch(library.backend.stream);
  const auto time_us = [&](const Candidate& candidate, int launches) {
    matmul.algo = candidate.proposal.algo;
    matmul.workspace_bytes = candidate.proposal.workspaceSize;
    return stopwatch.time_us(launches,
                             [&] { return launch(library, matmul, library.backend.stream, p); });
  };

  std::vector<Candidate> candidates;
  for (const auto& proposal : propose(library, matmul, p)) {
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
  const auto [a, b, d, bias] = p.alignments(matmul.problem, 256);
  const auto required = [&](cublasLtMatmulAlgoCapAttributes_t attribute, std::uint32_t promised) {
    return required_alignment(matmul.algo, attribute, promised);
  };
  constexpr auto kFirst = CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_A_BYTES;
  constexpr auto kSecond = CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_B_BYTES;
  constexpr auto kD = CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_D_BYTES;
  matmul.required_alignments = {required(matmul.transposed() ? kSecond : kFirst, a),
                                required(matmul.transposed() ? kFirst : kSecond, b),
                                required(kD, d), matmul.problem.bias ? required(kD, bias) : 1};
}

std::string encode(const Matmul& matmul) {
  std::string text;
  for (const std::uint64_t word : matmul.algo.data) text += fmt::format("{:x} ", word);
  return text + fmt::format("{:x}", matmul.workspace_bytes);
}

bool choose_pinned(const GemmLibrary& library, Matmul& matmul, const std::string& choice) {
  std::istringstream words(choice);
  words >> std::hex;
  for (std::uint64_t& word : matmul.algo.data) words >> word;
  words >> matmul.workspace_bytes;
  cublasLtMatmulHeuristicResult_t result{};
  if (!words || matmul.workspace_bytes > static_cast<std::size_t>(kGemmWorkspaceBytes) ||
      cublasLtMatmulAlgoCheck(library.handle.get(), matmul.operation.get(), matmul.first.get(),
                              matmul.second.get(), matmul.d.get(), matmul.d.get(), &matmul.algo,
                              &result) != CUBLAS_STATUS_SUCCESS ||
      result.workspaceSize > matmul.workspace_bytes) {
    return false;
  }
  matmul.algorithm = describe(matmul.algo, "pinned");
  return true;
}

}  // namespace octet::cuda
