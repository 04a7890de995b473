#include "harness/cuda/matrix_transform.hpp"

#include <cublasLt.h>
#include <fmt/format.h>

#include <stdexcept>
#include <string_view>

namespace octet::harness {
namespace {

void check(cublasStatus_t status, std::string_view what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw std::runtime_error(
        fmt::format("matrix transform: {}: {}", what, cublasLtGetStatusString(status)));
  }
}

cublasLtOrder_t order_of(LayoutKind layout) {
  switch (layout) {
    case LayoutKind::row:
      return CUBLASLT_ORDER_ROW;
    case LayoutKind::col:
      return CUBLASLT_ORDER_COL;
    case LayoutKind::col32:
      return CUBLASLT_ORDER_COL32;
    case LayoutKind::col4_4r2_8c:
      return CUBLASLT_ORDER_COL4_4R2_8C;
    case LayoutKind::col32_2r_4r4:
      return CUBLASLT_ORDER_COL32_2R_4R4;
  }
  throw std::invalid_argument("matrix transform: no order of cuBLASLt is this layout");
}

cublasLtMatrixLayout_t describe(DType type, std::int64_t rows, std::int64_t cols,
                                MatrixTransform::Side side) {
  const cublasLtOrder_t order = order_of(side.layout);
  const bool is_tiled = side.layout != LayoutKind::row && side.layout != LayoutKind::col;
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(
            &layout, type == DType::s8 ? CUDA_R_8I : CUDA_R_32I, static_cast<std::uint64_t>(rows),
            static_cast<std::uint64_t>(cols), is_tiled ? 32 * side.ld : side.ld),
        "cublasLtMatrixLayoutCreate");
  check(
      cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof(order)),
      "cublasLtMatrixLayoutSetAttribute");
  return layout;
}

}  // namespace

struct MatrixTransform::State {
  cublasLtHandle_t handle = nullptr;
  cublasLtMatrixTransformDesc_t transform = nullptr;
  cublasLtMatrixLayout_t x = nullptr, y = nullptr;

  ~State() {
    if (y != nullptr) cublasLtMatrixLayoutDestroy(y);
    if (x != nullptr) cublasLtMatrixLayoutDestroy(x);
    if (transform != nullptr) cublasLtMatrixTransformDescDestroy(transform);
    if (handle != nullptr) cublasLtDestroy(handle);
  }
};

MatrixTransform::MatrixTransform(DType type, std::int64_t rows, std::int64_t cols, Side x, Side y)
    : state_(std::make_unique<State>()) {
  check(cublasLtCreate(&state_->handle), "cublasLtCreate");
  check(cublasLtMatrixTransformDescCreate(&state_->transform, CUDA_R_32F),
        "cublasLtMatrixTransformDescCreate");
  state_->x = describe(type, rows, cols, x);
  state_->y = describe(type, rows, cols, y);
}

MatrixTransform::~MatrixTransform() = default;

bool MatrixTransform::run(CUstream_st* stream, const void* x, void* y) {
  const float one = 1.0f, zero = 0.0f;
  const cublasStatus_t status =
      cublasLtMatrixTransform(state_->handle, state_->transform, &one, x, state_->x, &zero, nullptr,
                              nullptr, y, state_->y, stream);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return false;
  check(status, "cublasLtMatrixTransform");
  return true;
}

}  // namespace octet::harness
