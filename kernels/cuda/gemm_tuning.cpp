// Which of cuBLASLt's algorithms runs a product; the contract is gemm_cublaslt.hpp.
//
// What the library's heuristic proposes is timed on the caller's operands in interleaved rounds;
// the proposal with the lowest median stays.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "cuda/candidates.hpp"
#include "cuda/gemm_cublaslt.hpp"

namespace octet::cuda {
namespace {

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

}  // namespace

bool choose(const GemmLibrary& library, Matmul& matmul, const Pointers& p) {
  const auto proposals = propose(library, matmul, p);
  const auto take = [&](const cublasLtMatmulHeuristicResult_t& proposal) {
    matmul.algo = proposal.algo;
    matmul.workspace_bytes = proposal.workspaceSize;
  };
  std::vector<Candidate> candidates;
  for (const auto& proposal : proposals) {
    candidates.push_back([&] {
      take(proposal);
      return launch(library, matmul, library.backend.stream, p) == CUBLAS_STATUS_SUCCESS;
    });
  }
  const std::vector<float> us = time_candidates(library.backend.stream, candidates);
  const auto runs = std::count_if(us.begin(), us.end(), [](float x) { return std::isfinite(x); });
  if (runs == 0) return false;
  take(proposals[static_cast<std::size_t>(std::min_element(us.begin(), us.end()) - us.begin())]);
  matmul.algorithm = describe(matmul.algo, fmt::format("best of {}", runs));
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
