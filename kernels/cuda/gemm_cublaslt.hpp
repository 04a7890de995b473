// A product as cuBLASLt is told of it, and the choice of its algorithm.
//
// cuBLASLt is column-major. Row-major products are asked of it as the transpose, D^T[N,M] = B[N,K]
// . A[M,K]^T: its first operand is our B and its second one our A; what is row-major for us lies
// there as its transpose, hence a row-major operand B needs the transpose flag and a row-major
// operand A none. A bias of N elements runs down the rows of D^T, which is what its epilogue adds.
// The tiled orders are asked as they are: D = A . B^T, A first.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "cuda/cublaslt.hpp"
#include "cuda/gemm_sm90.hpp"
#include "octet/buffer.hpp"
#include "octet/gemm.hpp"

namespace octet::cuda {

inline constexpr std::int64_t kGemmWorkspaceBytes = std::int64_t{32} << 20;
inline constexpr std::uint32_t kVector = 16;  // bytes of the widest access that is remembered

void check(cublasStatus_t status, const char* what);

struct Destroy {
  void operator()(cublasLtHandle_t h) const { cublasLtDestroy(h); }
  void operator()(cublasLtMatmulDesc_t d) const { cublasLtMatmulDescDestroy(d); }
  void operator()(cublasLtMatrixLayout_t l) const { cublasLtMatrixLayoutDestroy(l); }
  void operator()(cublasLtMatmulPreference_t p) const { cublasLtMatmulPreferenceDestroy(p); }
};
template <class T>
using Handle = std::unique_ptr<std::remove_pointer_t<T>, Destroy>;

/// Of a, b, d and the bias, in bytes.
using Alignments = std::array<std::uint32_t, 4>;

struct Pointers {
  const void* a = nullptr;
  const void* b = nullptr;
  void* d = nullptr;
  const void* bias = nullptr;
  const float* alpha = nullptr;
  const float* row_scale = nullptr;  // of e4m3
  const float* col_scale = nullptr;

  /// The largest powers of two up to `limit` that all matrices of a batch lie at multiples of.
  Alignments alignments(const GemmProblem& problem, std::uint32_t limit) const;
};

enum class GemmKernel { fill, mma, sm90, cublaslt };

/// How a problem is run. Holds no operands; not changed once it is made.
struct Matmul {
  GemmProblem problem;
  GemmKernel kernel = GemmKernel::fill;
  std::string algorithm;
  std::string choice;  // for GemmWorkspace::pinned; empty where there was none
  GemmSm90Config sm90{};
  Alignments planned_alignments{};   // up to kVector
  Alignments required_alignments{};  // by the algorithm
  /// D is filled with the bias and the product added to it, f32 still rounded once: for problems
  /// whose bias no kernel adds itself.
  bool bias_in_d = false;

  Handle<cublasLtMatmulDesc_t> operation;
  Handle<cublasLtMatrixLayout_t> first, second, d;
  cublasLtMatmulAlgo_t algo{};
  std::size_t workspace_bytes = 0;

  bool transposed() const { return problem.d_layout == LayoutKind::row; }
  bool fits(const Pointers& pointers) const;
};

struct GemmLibrary {
  explicit GemmLibrary(Cuda on);

  Cuda backend;
  Buffer<Cuda, std::byte> memory;
  Handle<cublasLtHandle_t> handle;
};

/// Fills in what cuBLASLt is to be told of matmul.problem.
void describe(Matmul& matmul);

/// Queues the product.
cublasStatus_t launch(const GemmLibrary& library, const Matmul& matmul, cudaStream_t stream,
                      const Pointers& p);

/// What the heuristic proposes for operands at these addresses; none where it knows no kernel.
std::vector<cublasLtMatmulHeuristicResult_t> propose(const GemmLibrary& library,
                                                     const Matmul& matmul, const Pointers& p);

/// Sets the algorithm to the proposal with the lowest median; false when none runs.
bool choose(const GemmLibrary& library, Matmul& matmul, const Pointers& p);

/// An algorithm as a text: the words of the opaque struct, then its workspace.
std::string encode(const Matmul& matmul);

/// Takes a choice that an earlier plan made; false where this library does not take it.
bool choose_pinned(const GemmLibrary& library, Matmul& matmul, const std::string& choice);

/// What the chosen algorithm asks of the addresses that it was chosen for.
void set_required_alignments(Matmul& matmul, const Pointers& p);

}  // namespace octet::cuda
