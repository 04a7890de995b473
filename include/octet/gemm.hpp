// Matrix products: D[M,N] = A[M,K] . B[N,K]^T.
//
// Row-major operands have K contiguous in both ("TN" in BLAS words), which is all that integer
// tensor cores take. 16-bit products also take an operand as it lies the other way round
// (ColMajor). int8 products also take the tiled orders of layout.hpp: a and d in Col32, b in
// Col4_4R2_8C or Col32_2R_4R4. Batches are strided; their matrices multiply pairwise.
//
// What a product needs between calls is owned by its user: a GemmWorkspace for each stream, and a
// GemmPlan for each problem. Making a plan may allocate, times its candidates on the operands that
// it is given, and overwrites D; running one allocates nothing and does not synchronize.
//
// Errors: std::invalid_argument that names the operator, the value and what would be right, for
// extents that do not match, null data, leading dimensions under the row length, K over
// kMaxS8Depth, outputs that overlap an operand, a stride under which results overlap, or a plan
// that was made for another problem. M, N or K of 0: D is zeroed (or the bias), no error.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "octet/backend.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet {

/// The deepest int8 product whose int32 accumulators cannot overflow: 128 * 128 * K < 2^31.
inline constexpr std::int64_t kMaxS8Depth = 131071;

/// How tensor cores of compute capability 9.0 add up a product of eight-bit floats: all along K in
/// their own registers, which keep about 14 bits of what they add, or so for a stretch of K, whose
/// sum is then added in f32. cuBLASLt's CUBLASLT_MATMUL_DESC_FAST_ACCUM, on and off.
enum class Accumulation : std::uint8_t { promoted, tensor_core };

/// As a plan's text has it.
constexpr std::string_view name(Accumulation accumulation) {
  return accumulation == Accumulation::tensor_core ? "summed in tensor cores" : "summed in f32";
}

/// What a plan is made for: d[m,n] = a[m,k] . b[n,k]^T, `batch` times, leading dimensions and
/// strides in elements.
struct GemmProblem {
  std::int64_t m = 0, n = 0, k = 0;
  DType operand = DType::s8;
  DType result = DType::s32;
  LayoutKind a_layout = LayoutKind::row, b_layout = LayoutKind::row, d_layout = LayoutKind::row;
  std::int64_t lda = 0, ldb = 0, ldd = 0;  // of a tiled layout: its rows, padded
  std::int64_t batch = 1;
  std::int64_t a_stride = 0, b_stride = 0, d_stride = 0;  // 0 in a batch of one
  bool bias = false;                                      // 16-bit results
  std::int64_t alphas = 0;                                // s8 results: 1 or m
  Accumulation accumulation = Accumulation::promoted;     // e4m3 operands

  /// Whether a plan for one is a plan for the other.
  bool operator==(const GemmProblem&) const = default;
};

/// A 16-bit operand of a product, one matrix or a batch, lying in either direction.
template <class T>
struct Operand {
  const T* data = nullptr;
  std::int64_t rows = 0, cols = 0, ld = 0;
  bool transposed = false;  // ColMajor
  std::int64_t count = 1, stride = 0;

  /// Of a view, whose layout says the direction.
  Operand() = default;
  template <class U, class Layout>
  requires(std::is_same_v<const U, const T> &&
           (std::is_same_v<Layout, RowMajor> || std::is_same_v<Layout, ColMajor>))
      Operand(Matrix<U, Layout> m)  // NOLINT(google-explicit-constructor)
      : data(m.data),
        rows(m.rows),
        cols(m.cols),
        ld(m.layout.ld),
        transposed(std::is_same_v<Layout, ColMajor>) {}
  template <class U, class Layout>
  requires(std::is_same_v<const U, const T> &&
           (std::is_same_v<Layout, RowMajor> || std::is_same_v<Layout, ColMajor>))
      Operand(Batch<U, Layout> b)  // NOLINT(google-explicit-constructor)
      : Operand(b.first) {
    count = b.count;
    stride = b.stride;
  }
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

/// An empty workspace for the backend's stream. Throws std::runtime_error where cuBLASLt does not
/// start, and std::bad_alloc.
GemmWorkspace<Cpu> make_gemm_workspace(Cpu);
GemmWorkspace<Cuda> make_gemm_workspace(Cuda);

/// The version of the library that plans choose from: "13.1.0". Throws std::runtime_error where it
/// cannot be loaded.
std::string cublaslt_version(Cuda);

/// A product of a known problem, ready to run. It keeps its workspace alive.
template <class B>
struct GemmPlan {
  GemmProblem problem;
  std::string algorithm;  // which one was chosen among how many, for people and records
  std::string choice;     // the same for GemmWorkspace::pinned; empty where nothing was chosen
  std::shared_ptr<GemmPlanState<B>> state;
};

/// a[M,K], b[N,K] -> d[M,N], exact. s8 includes -128.
GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Batch<const s8> a, Batch<const s8> b,
                           Batch<s32> d);
GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Batch<const s8> a, Batch<const s8> b,
                            Batch<s32> d);
void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Batch<const s8> a, Batch<const s8> b, Batch<s32> d);
void gemm_s8(Cuda, const GemmPlan<Cuda>& plan, Batch<const s8> a, Batch<const s8> b, Batch<s32> d);

/// The same in the tiled orders, L either of Col4_4R2_8C and Col32_2R_4R4. On CUDA through cuBLASLt
/// where it takes the order on this device, else through a kernel that reads it directly. Padding
/// of the operands must be zero; that of d is left zero.
template <class L>
GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Matrix<const s8, Col32> a,
                           Matrix<const s8, L> b, Matrix<s32, Col32> d);
template <class L>
GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Matrix<const s8, Col32> a,
                            Matrix<const s8, L> b, Matrix<s32, Col32> d);
template <class L>
void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Matrix<const s8, Col32> a, Matrix<const s8, L> b,
             Matrix<s32, Col32> d);
template <class L>
void gemm_s8(Cuda, const GemmPlan<Cuda>& plan, Matrix<const s8, Col32> a, Matrix<const s8, L> b,
             Matrix<s32, Col32> d);

/// Back to s8, as bitsandbytes' igemmlt has it: alpha[1] or alpha[M],
///
///   d[i,j] = rint(alpha[i] * float(sum_k a[i,k] b[j,k])), ties to even, saturated to [-128, 127]
///
/// in f32, each operation rounded; a NaN gives 0. The same bits on every backend.
GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Matrix<const s8> a, Matrix<const s8> b,
                           Vector<const float> alpha, Matrix<s8> d);
GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Matrix<const s8> a, Matrix<const s8> b,
                            Vector<const float> alpha, Matrix<s8> d);
void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Matrix<const s8> a, Matrix<const s8> b,
             Vector<const float> alpha, Matrix<s8> d);
void gemm_s8(Cuda, const GemmPlan<Cuda>& plan, Matrix<const s8> a, Matrix<const s8> b,
             Vector<const float> alpha, Matrix<s8> d);
template <class L>
GemmPlan<Cpu> plan_gemm_s8(GemmWorkspace<Cpu>& workspace, Matrix<const s8, Col32> a,
                           Matrix<const s8, L> b, Vector<const float> alpha, Matrix<s8, Col32> d);
template <class L>
GemmPlan<Cuda> plan_gemm_s8(GemmWorkspace<Cuda>& workspace, Matrix<const s8, Col32> a,
                            Matrix<const s8, L> b, Vector<const float> alpha, Matrix<s8, Col32> d);
template <class L>
void gemm_s8(Cpu, const GemmPlan<Cpu>& plan, Matrix<const s8, Col32> a, Matrix<const s8, L> b,
             Vector<const float> alpha, Matrix<s8, Col32> d);
template <class L>
void gemm_s8(Cuda, const GemmPlan<Cuda>& plan, Matrix<const s8, Col32> a, Matrix<const s8, L> b,
             Vector<const float> alpha, Matrix<s8, Col32> d);

/// Whether the vendor's library multiplies int8 with b in this order on the workspace's device,
/// found out by asking it, never by the device's name. false on the CPU.
bool library_multiplies(GemmWorkspace<Cpu>& workspace, LayoutKind b_layout);
bool library_multiplies(GemmWorkspace<Cuda>& workspace, LayoutKind b_layout);

/// a[M,K], b[N,K], bias[N] or empty -> d[M,N] with f32 accumulation and one rounding to T, f16 or
/// bf16. The order of the sum is the library's own, so backends agree within rounding, not bit for
/// bit.
template <class T>
GemmPlan<Cpu> plan_gemm(GemmWorkspace<Cpu>& workspace, Operand<T> a, Operand<T> b, Batch<T> d,
                        Vector<const T> bias = {});
template <class T>
GemmPlan<Cuda> plan_gemm(GemmWorkspace<Cuda>& workspace, Operand<T> a, Operand<T> b, Batch<T> d,
                         Vector<const T> bias = {});
template <class T>
void gemm(Cpu, const GemmPlan<Cpu>& plan, Operand<T> a, Operand<T> b, Batch<T> d,
          Vector<const T> bias = {});
template <class T>
void gemm(Cuda, const GemmPlan<Cuda>& plan, Operand<T> a, Operand<T> b, Batch<T> d,
          Vector<const T> bias = {});

}  // namespace octet
