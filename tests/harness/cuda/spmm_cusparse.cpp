#include "harness/cuda/spmm_cusparse.hpp"

#include <cuda_runtime_api.h>
#include <cusparse.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "octet/buffer.hpp"

namespace octet::harness {
namespace {

void check(cusparseStatus_t status, std::string_view what) {
  if (status == CUSPARSE_STATUS_SUCCESS) return;
  throw std::runtime_error(
      fmt::format("{}: {} ({})", what, cusparseGetErrorString(status), static_cast<int>(status)));
}

void check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(fmt::format("{}: {}", what, cudaGetErrorString(status)));
}

struct Algorithm {
  cusparseSpMMAlg_t id;
  const char* name;
};
constexpr std::array<Algorithm, 6> kAlgorithms = {
    Algorithm{CUSPARSE_SPMM_COO_ALG1, "COO_ALG1"}, Algorithm{CUSPARSE_SPMM_COO_ALG2, "COO_ALG2"},
    Algorithm{CUSPARSE_SPMM_COO_ALG3, "COO_ALG3"}, Algorithm{CUSPARSE_SPMM_COO_ALG4, "COO_ALG4"},
    Algorithm{CUSPARSE_SPMM_CSR_ALG1, "CSR_ALG1"}, Algorithm{CUSPARSE_SPMM_CSR_ALG2, "CSR_ALG2"}};
constexpr std::size_t kFirstCsr = 4;

/// A product with its descriptors and memory.
class Product {
 public:
  Product(Cuda backend, const CusparseProblem& p) : backend_(backend) {
    check(cusparseCreate(&handle_), "cusparseCreate");
    check(cusparseSetStream(handle_, backend.stream), "cusparseSetStream");
    const cudaDataType type = p.type == DType::bf16 ? CUDA_R_16BF : CUDA_R_16F;
    check(cusparseCreateConstCoo(&coo_, p.m, p.k, p.entries, p.row, p.col, p.value,
                                 CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, type),
          "cusparseCreateConstCoo");
    // CSR's offsets, made from the rows on the host: a baseline's preparation is not timed.
    std::vector<s32> rows(static_cast<std::size_t>(p.entries));
    copy_to_host(backend, rows.data(), p.row, rows.size() * sizeof(s32));
    std::vector<s32> offsets(static_cast<std::size_t>(p.m) + 1);
    for (const s32 row : rows) ++offsets[static_cast<std::size_t>(row) + 1];
    for (std::size_t i = 1; i < offsets.size(); ++i) offsets[i] += offsets[i - 1];
    offsets_ = Buffer<Cuda, s32>(backend, p.m + 1);
    copy_from_host(backend, offsets_.data(), offsets.data(), offsets.size() * sizeof(s32));
    check(cusparseCreateConstCsr(&csr_, p.m, p.k, p.entries, offsets_.data(), p.col, p.value,
                                 CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO,
                                 type),
          "cusparseCreateConstCsr");
    check(
        cusparseCreateConstDnMat(&w_, p.w_is_transposed ? p.k : p.n, p.w_is_transposed ? p.n : p.k,
                                 p.ldw, p.w, type, CUSPARSE_ORDER_ROW),
        "cusparseCreateConstDnMat");
    check(cusparseCreateDnMat(&out_, p.m, p.n, p.ldout, p.out, type, CUSPARSE_ORDER_ROW),
          "cusparseCreateDnMat");
    w_operation_ =
        p.w_is_transposed ? CUSPARSE_OPERATION_NON_TRANSPOSE : CUSPARSE_OPERATION_TRANSPOSE;
  }
  ~Product() {
    if (out_ != nullptr) cusparseDestroyDnMat(out_);
    if (w_ != nullptr) cusparseDestroyDnMat(w_);
    if (csr_ != nullptr) cusparseDestroySpMat(csr_);
    if (coo_ != nullptr) cusparseDestroySpMat(coo_);
    if (handle_ != nullptr) cusparseDestroy(handle_);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  /// False where the library does not take the problem this way.
  bool prepare(std::size_t algorithm) {
    algorithm_ = algorithm;
    std::size_t bytes = 0;
    if (cusparseSpMM_bufferSize(handle_, CUSPARSE_OPERATION_NON_TRANSPOSE, w_operation_, &kOne,
                                list(), w_, &kOne, out_, CUDA_R_32F, id(),
                                &bytes) != CUSPARSE_STATUS_SUCCESS) {
      return false;
    }
    workspace_ = Buffer<Cuda, std::byte>(backend_, static_cast<std::int64_t>(bytes));
    // Without this the product prepares itself anew at each call.
    if (cusparseSpMM_preprocess(handle_, CUSPARSE_OPERATION_NON_TRANSPOSE, w_operation_, &kOne,
                                list(), w_, &kOne, out_, CUDA_R_32F, id(),
                                workspace_.data()) != CUSPARSE_STATUS_SUCCESS) {
      return false;
    }
    return multiply() == CUSPARSE_STATUS_SUCCESS;
  }
  void run() { check(multiply(), "cusparseSpMM"); }

 private:
  static constexpr float kOne = 1.0f;

  cusparseSpMMAlg_t id() const { return kAlgorithms[algorithm_].id; }
  cusparseConstSpMatDescr_t list() const { return algorithm_ < kFirstCsr ? coo_ : csr_; }
  cusparseStatus_t multiply() {
    return cusparseSpMM(handle_, CUSPARSE_OPERATION_NON_TRANSPOSE, w_operation_, &kOne, list(), w_,
                        &kOne, out_, CUDA_R_32F, id(), workspace_.data());
  }

  Cuda backend_;
  cusparseHandle_t handle_ = nullptr;
  cusparseConstSpMatDescr_t coo_ = nullptr, csr_ = nullptr;
  cusparseConstDnMatDescr_t w_ = nullptr;
  cusparseDnMatDescr_t out_ = nullptr;
  cusparseOperation_t w_operation_ = CUSPARSE_OPERATION_NON_TRANSPOSE;
  Buffer<Cuda, s32> offsets_;
  Buffer<Cuda, std::byte> workspace_;
  std::size_t algorithm_ = 0;
};

/// The best of a few, which passes over disturbances.
float time_ms(Cuda backend, Product& product) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  std::optional<float> best;
  for (int i = 0; i < 5; ++i) {
    float ms = 0;
    check(cudaEventRecord(begin, backend.stream), "cudaEventRecord");
    product.run();
    check(cudaEventRecord(end, backend.stream), "cudaEventRecord");
    check(cudaEventSynchronize(end), "cudaEventSynchronize");
    check(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
    best = std::min(best.value_or(ms), ms);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return *best;
}

}  // namespace

CusparseCall cusparse_spmm(Cuda backend, const CusparseProblem& problem) {
  const auto product = std::make_shared<Product>(backend, problem);
  std::optional<std::pair<float, std::size_t>> best;
  for (std::size_t a = 0; a < kAlgorithms.size(); ++a) {
    if (!product->prepare(a)) continue;
    const std::pair<float, std::size_t> tried{time_ms(backend, *product), a};
    best = best ? std::min(*best, tried) : tried;
  }
  if (!best || !product->prepare(best->second)) return {};
  return {[product] { product->run(); }, kAlgorithms[best->second].name};
}

}  // namespace octet::harness
