// Products as cuBLASLt is told of them; the contract is gemm_cublaslt.hpp.
//
// No device at hand runs the tiled orders through the library: compute capability 9.0 answers
// NOT_SUPPORTED, and 7.5 and 8.x, which take them, were not tried. They are therefore asked of it
// only where no panel is padded, and only where it says that it has a kernel.
#include "cuda/gemm_cublaslt.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "cuda/error.hpp"

namespace octet::cuda {
namespace {

constexpr int kProposals = 16;  // asked of the heuristic

// By number, because cublasLt.h names them from 12.8 and 12.9 on alone; an older library refuses
// them.
constexpr auto kFirstScaleMode = static_cast<cublasLtMatmulDescAttributes_t>(31);
constexpr auto kSecondScaleMode = static_cast<cublasLtMatmulDescAttributes_t>(32);
constexpr std::int32_t kScaleOfEachRow = 3;  // CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F

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
    case DType::e4m3:
      return CUDA_R_8F_E4M3;
  }
  throw std::invalid_argument("gemm: unknown type");
}

template <class Value>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
         const Value& value) {
  check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)),
        "describing a product to cuBLASLt");
}

template <class Value>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
         const Value& value) {
  check(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof(value)),
        "describing a matrix to cuBLASLt");
}

cublasLtOrder_t order(LayoutKind layout) {
  switch (layout) {
    case LayoutKind::col32:
      return CUBLASLT_ORDER_COL32;
    case LayoutKind::col4_4r2_8c:
      return CUBLASLT_ORDER_COL4_4R2_8C;
    case LayoutKind::col32_2r_4r4:
      return CUBLASLT_ORDER_COL32_2R_4R4;
    case LayoutKind::row:
    case LayoutKind::col:
      break;
  }
  return CUBLASLT_ORDER_COL;
}

/// One of a product's matrices. Row-major ones are described as their transpose.
struct Described {
  DType type;
  std::int64_t rows, cols;
  LayoutKind layout;
  std::int64_t ld, batch, stride;
};

Handle<cublasLtMatrixLayout_t> make_layout(const Described& m) {
  std::int64_t rows = m.rows, cols = m.cols, ld = m.ld;
  if (m.layout == LayoutKind::row) std::swap(rows, cols);
  if (order(m.layout) == CUBLASLT_ORDER_COL) {
    // The leading dimension of a single column is never used, but it must be a valid one.
    if (cols == 1) ld = rows;
  } else {
    ld *= 32;  // from one panel of 32 columns to the next
  }
  cublasLtMatrixLayout_t created = nullptr;
  check(cublasLtMatrixLayoutCreate(&created, cuda_type(m.type), static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(cols), ld),
        "describing a matrix to cuBLASLt");
  Handle<cublasLtMatrixLayout_t> layout(created);
  set(created, CUBLASLT_MATRIX_LAYOUT_ORDER, static_cast<std::int32_t>(order(m.layout)));
  if (m.batch > 1) {
    set(created, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(m.batch));
    set(created, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, m.stride);
  }
  return layout;
}

/// What the operation reads beside its operands. Algorithms are proposed and run for addresses that
/// are set.
void set_pointers(const Matmul& matmul, const Pointers& p) {
  if (matmul.problem.bias && !matmul.bias_in_d) {
    set(matmul.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }
  if (matmul.problem.operand == DType::e4m3) {
    // Its first operand is our b.
    set(matmul.operation.get(), CUBLASLT_MATMUL_DESC_A_SCALE_POINTER,
        static_cast<const void*>(p.col_scale));
    set(matmul.operation.get(), CUBLASLT_MATMUL_DESC_B_SCALE_POINTER,
        static_cast<const void*>(p.row_scale));
  }
}

}  // namespace

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw std::runtime_error(fmt::format("{}: {} ({})", what, cublasLtGetStatusString(status),
                                       cublasLtGetStatusName(status)));
}

Alignments Pointers::alignments(const GemmProblem& q, std::uint32_t limit) const {
  const auto of = [limit](const void* p, std::int64_t stride, DType type) {
    const auto places = reinterpret_cast<std::uintptr_t>(p) |
                        static_cast<std::uintptr_t>(stride * size_of(type)) | limit;
    return static_cast<std::uint32_t>(places & (~places + 1));
  };
  return {of(a, q.a_stride, q.operand), of(b, q.b_stride, q.operand), of(d, q.d_stride, q.result),
          q.bias ? of(bias, 0, q.result) : limit};
}

bool Matmul::fits(const Pointers& pointers) const {
  const Alignments have = pointers.alignments(problem, 256);
  for (std::size_t i = 0; i < have.size(); ++i) {
    if (have[i] < required_alignments[i]) return false;
  }
  return true;
}

GemmLibrary::GemmLibrary(Cuda on) : backend(on), memory(on, kGemmWorkspaceBytes) {
  cublasLtHandle_t created = nullptr;
  check(cublasLtCreate(&created), "creating a cuBLASLt handle");
  handle.reset(created);
  fill(on, memory.data(), 0, static_cast<std::size_t>(kGemmWorkspaceBytes));
  synchronize(on);
}

void describe(Matmul& matmul) {
  const GemmProblem& q = matmul.problem;
  const bool integer = q.operand == DType::s8;
  cublasLtMatmulDesc_t operation = nullptr;
  check(cublasLtMatmulDescCreate(&operation, integer ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                                 integer ? CUDA_R_32I : CUDA_R_32F),
        "describing a product to cuBLASLt");
  matmul.operation.reset(operation);
  const cublasOperation_t a_flag = q.a_layout == LayoutKind::col ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t b_flag = q.b_layout == LayoutKind::col ? CUBLAS_OP_N : CUBLAS_OP_T;
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, matmul.transposed() ? b_flag : a_flag);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, matmul.transposed() ? a_flag : b_flag);
  if (q.bias && !matmul.bias_in_d) {
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
        static_cast<std::int32_t>(cuda_type(q.result)));
  }
  if (q.operand == DType::e4m3) {
    set(operation, kFirstScaleMode, kScaleOfEachRow);
    set(operation, kSecondScaleMode, kScaleOfEachRow);
    set(operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM,
        static_cast<std::int8_t>(q.accumulation == Accumulation::tensor_core));
  }
  auto a = make_layout({q.operand, q.m, q.k, q.a_layout, q.lda, q.batch, q.a_stride});
  auto b = make_layout({q.operand, q.n, q.k, q.b_layout, q.ldb, q.batch, q.b_stride});
  matmul.first = std::move(matmul.transposed() ? b : a);
  matmul.second = std::move(matmul.transposed() ? a : b);
  matmul.d = make_layout({q.result, q.m, q.n, q.d_layout, q.ldd, q.batch, q.d_stride});
}

cublasStatus_t launch(const GemmLibrary& library, const Matmul& matmul, cudaStream_t stream,
                      const Pointers& p) {
  // Scalars of both scale types; their values are read during the call.
  const s32 one_s32 = 1, zero_s32 = 0;
  const float one_f32 = 1.0f, zero_f32 = 0.0f;
  const bool integer = matmul.problem.operand == DType::s8;
  const void* alpha = integer ? static_cast<const void*>(&one_s32) : &one_f32;
  const void* beta = integer            ? static_cast<const void*>(&zero_s32)
                     : matmul.bias_in_d ? &one_f32
                                        : &zero_f32;
  set_pointers(matmul, p);
  return cublasLtMatmul(library.handle.get(), matmul.operation.get(), alpha,
                        matmul.transposed() ? p.b : p.a, matmul.first.get(),
                        matmul.transposed() ? p.a : p.b, matmul.second.get(), beta, p.d,
                        matmul.d.get(), p.d, matmul.d.get(), &matmul.algo, library.memory.data(),
                        matmul.workspace_bytes, stream);
}

std::vector<cublasLtMatmulHeuristicResult_t> propose(const GemmLibrary& library,
                                                     const Matmul& matmul, const Pointers& p) {
  constexpr const char* kWhat = "stating preferences to cuBLASLt";
  cublasLtMatmulPreference_t created = nullptr;
  check(cublasLtMatmulPreferenceCreate(&created), kWhat);
  const Handle<cublasLtMatmulPreference_t> preference(created);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(created, attribute, &value, sizeof(value)), kWhat);
  };
  auto [first, second, d, bias] = p.alignments(matmul.problem, 256);
  if (matmul.transposed()) std::swap(first, second);
  // There is no preference for the bias; it is read as D is written.
  d = std::min(d, bias);
  set_pointers(matmul, p);
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kGemmWorkspaceBytes));
  // Split-K that adds its parts in the output's type rounds each of them to 16 bits, and in an
  // order of its own; the contract is f32 accumulation and one rounding. With a bias, split-K in
  // any scheme rounds the sum before it adds the bias (seen in bf16 where N is odd: cuBLASLt 13.1,
  // algorithm 24). Integers are exact either way.
  if (matmul.problem.operand != DType::s8) {
    prefer(
        CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<std::uint32_t>(matmul.problem.bias ? CUBLASLT_REDUCTION_SCHEME_NONE
                                                       : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  }
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, first);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, second);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, d);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d);

  std::vector<cublasLtMatmulHeuristicResult_t> results(kProposals);
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      library.handle.get(), matmul.operation.get(), matmul.first.get(), matmul.second.get(),
      matmul.d.get(), matmul.d.get(), created, kProposals, results.data(), &found);
  results.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(found) : 0);
  std::erase_if(results, [](const cublasLtMatmulHeuristicResult_t& r) {
    return r.state != CUBLAS_STATUS_SUCCESS ||
           r.workspaceSize > static_cast<std::size_t>(kGemmWorkspaceBytes);
  });
  return results;
}

}  // namespace octet::cuda

namespace octet {

std::string cublaslt_version(Cuda) {
  const std::size_t version = cuda::cublasLtGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

}  // namespace octet
