// cublasLtMatrixTransform: the peer that transform is timed beside, and an independent oracle.
#pragma once

#include <cstdint>
#include <memory>

#include "octet/layout.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

struct CUstream_st;

namespace octet::harness {

/// One matrix of `rows` x `cols` from one order to another. s32 passes through f32: values beyond
/// 2^24 are rounded.
class MatrixTransform {
 public:
  /// An operand without its type; `ld` of a tiled layout is its rows, padded.
  struct Side {
    LayoutKind layout = LayoutKind::row;
    std::int64_t ld = 0;
  };

  MatrixTransform(DType type, std::int64_t rows, std::int64_t cols, Side x, Side y);
  ~MatrixTransform();
  MatrixTransform(const MatrixTransform&) = delete;
  MatrixTransform& operator=(const MatrixTransform&) = delete;

  /// Queues it; false where cuBLASLt does not take these orders or extents.
  bool run(CUstream_st* stream, const void* x, void* y);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet::harness
