// Matrix products: D[M,N] = A[M,K] . B[N,K]^T.
//
// Row-major operands have K contiguous in both ("TN" in BLAS words), which is all that integer
// tensor cores take. 16-bit products also take an operand as it lies the other way round
// (ColMajor).
//
// What a product needs between calls is owned by its user: a GemmWorkspace for each stream, and a
// GemmPlan for each problem. Making a plan may allocate, times its candidates on the operands that
// it is given, and overwrites D; running one allocates nothing and does not synchronize.
//
// Errors: std::invalid_argument that names the operator, the value and what would be right, for
// extents that do not match, null data, leading dimensions under the row length, K over
// kMaxS8Depth, or a plan that was made for another problem. M, N or K of 0: D is zeroed, no error.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "octet/backend.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet {

/// The deepest int8 product whose int32 accumulators cannot overflow: 128 * 128 * K < 2^31.
inline constexpr std::int64_t kMaxS8Depth = 131071;

struct GemmProblem {
  std::int64_t m = 0, n = 0, k = 0;
  DType operand = DType::s8;
  DType result = DType::s32;
  bool a_transposed = false, b_transposed = false;  // the operand lies in ColMajor
  std::int64_t lda = 0, ldb = 0, ldd = 0;

  bool operator==(const GemmProblem&) const = default;
};

/// A 16-bit operand of a product, lying in either direction.
template <class T>
struct Operand {
  const T* data = nullptr;
  std::int64_t rows = 0, cols = 0, ld = 0;
  bool transposed = false;  // ColMajor

  Operand() = default;
  template <class U>
  requires(std::is_same_v<const U, const T>)
      Operand(Matrix<U, RowMajor> m)  // NOLINT(google-explicit-constructor)
      : data(m.data), rows(m.rows), cols(m.cols), ld(m.layout.ld), transposed(false) {}
  template <class U>
  requires(std::is_same_v<const U, const T>)
      Operand(Matrix<U, ColMajor> m)  // NOLINT(google-explicit-constructor)
      : data(m.data), rows(m.rows), cols(m.cols), ld(m.layout.ld), transposed(true) {}
};

template <class B>
struct GemmWorkspaceState;  // defined in the backend's library
template <class B>
struct GemmPlanState;

/// A problem as a text, the same for equal problems alone.
std::string to_text(const GemmProblem& problem);

/// What products on one stream share: on CUDA a cuBLASLt handle and 32 MiB of device memory, on the
/// CPU panels for its BLAS. It remembers the plan of each problem. Used by one thread at a time.
template <class B>
struct GemmWorkspace {
  std::shared_ptr<GemmWorkspaceState<B>> state;
  /// Choices of earlier plans, by the text of their problem: taken as they are instead of timing
  /// candidates, so that two runs to be compared run the same algorithms. One that this device or
  /// library does not take is passed over.
  std::map<std::string, std::string> pinned{};
};
GemmWorkspace<Cpu> make_gemm_workspace(Cpu);
GemmWorkspace<Cuda> make_gemm_workspace(Cuda);

/// A product of a known problem, ready to run. It keeps its workspace alive.
template <class B>
struct GemmPlan {
  GemmProblem problem;
  std::string algorithm;  // which one was chosen among how many, for people and records
  std::string choice;     // the same for GemmWorkspace::pinned; empty where nothing was chosen
  std::shared_ptr<GemmPlanState<B>> state;
};

/// a[M,K], b[N,K] -> d[M,N], exact. s8 includes -128.
GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Matrix<const s8> a, Matrix<const s8> b,
                           Matrix<s32> d);
GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Matrix<const s8> a, Matrix<const s8> b,
                            Matrix<s32> d);
void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Matrix<const s8> a, Matrix<const s8> b, Matrix<s32> d);
void gemm_s8(Cuda, const GemmPlan<Cuda>& plan, Matrix<const s8> a, Matrix<const s8> b,
             Matrix<s32> d);

/// a[M,K], b[N,K] -> d[M,N] with f32 accumulation and one rounding to T, f16 or bf16. The order of
/// the sum is the library's own, so backends agree within rounding, not bit for bit.
template <class T>
GemmPlan<Cpu> plan_gemm(GemmWorkspace<Cpu>& workspace, Operand<T> a, Operand<T> b, Matrix<T> d);
template <class T>
GemmPlan<Cuda> plan_gemm(GemmWorkspace<Cuda>& workspace, Operand<T> a, Operand<T> b, Matrix<T> d);
template <class T>
void gemm(Cpu, const GemmPlan<Cpu>& plan, Operand<T> a, Operand<T> b, Matrix<T> d);
template <class T>
void gemm(Cuda, const GemmPlan<Cuda>& plan, Operand<T> a, Operand<T> b, Matrix<T> d);

}  // namespace octet
