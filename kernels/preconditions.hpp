// What each operator asks of its arguments, the same for every backend. Each function throws
// std::invalid_argument with one sentence that names the operator, the value and what would be
// right.
//
// Compiled once by the host compiler: the texts, and the library that formats them, stay out of .cu
// files.
#pragma once

#include <cstddef>

#include "octet/gemm.hpp"
#include "octet/matrix.hpp"

namespace octet::preconditions {

/// A view without its element type.
struct Extents {
  const void* data;
  std::int64_t rows, cols, ld;
  std::int64_t element_bytes;

  template <class T>
  Extents(Matrix<T> m)  // NOLINT(google-explicit-constructor)
      : data(m.data), rows(m.rows), cols(m.cols), ld(m.layout.ld), element_bytes(sizeof(T)) {}
  template <class T>
  Extents(Vector<T> v)  // NOLINT(google-explicit-constructor)
      : data(v.data), rows(1), cols(v.length), ld(v.length), element_bytes(sizeof(T)) {}
};

void quantize_rowwise(const Extents& x, const Extents& q, const Extents& row_scale);
void quantize_row_col(const Extents& x, const Extents& q_row, const Extents& row_scale,
                      const Extents& q_col, const Extents& col_scale);
void dequantize(const Extents& acc, const Extents& row_scale, const Extents& col_scale,
                const Extents& bias, const Extents& out);

/// The problem that the operands pose; throws when they pose none.
GemmProblem gemm_s8(const Matrix<const s8>& a, const Matrix<const s8>& b, const Matrix<s32>& d);
template <class T>
GemmProblem gemm(const Operand<T>& a, const Operand<T>& b, const Matrix<T>& d);

/// Throws unless the plan was made for this problem.
void same_problem(const GemmProblem& planned, const GemmProblem& asked);

}  // namespace octet::preconditions
