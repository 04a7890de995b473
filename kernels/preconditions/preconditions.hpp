// What each operator asks of its arguments, the same for every backend. Each function throws
// std::invalid_argument with one sentence that names the operator, the value and what would be
// right.
//
// Compiled once by the host compiler: the texts, and the library that formats them, stay out of .cu
// files.
#pragma once

#include <cstdint>

#include "octet/gemm.hpp"
#include "octet/layout.hpp"
#include "octet/matrix.hpp"
#include "octet/outliers.hpp"

namespace octet::preconditions {

/// A view without its element type.
struct Extents {
  const void* data = nullptr;
  std::int64_t rows = 0, cols = 0;
  LayoutKind layout = LayoutKind::row;
  std::int64_t ld = 0;        // of a tiled layout: its rows, padded
  std::int64_t capacity = 0;  // elements from data to the end of what may be touched
  std::int64_t element_bytes = 1;

  template <class T, class L>
  Extents(Matrix<T, L> m)  // NOLINT(google-explicit-constructor)
      : data(m.data),
        rows(m.rows),
        cols(m.cols),
        layout(kLayout<L>),
        ld(leading(m.layout)),
        capacity(m.empty() ? 0 : m.capacity()),
        element_bytes(sizeof(T)) {}
  template <class T>
  Extents(Vector<T> v)  // NOLINT(google-explicit-constructor)
      : Extents(Matrix<T>(v.data, 1, v.length)) {}

 private:
  static std::int64_t leading(RowMajor l) { return l.ld; }
  static std::int64_t leading(ColMajor l) { return l.ld; }
  static std::int64_t leading(Col32 l) { return l.rows; }
  static std::int64_t leading(Col4_4R2_8C l) { return l.padded_rows; }
  static std::int64_t leading(Col32_2R_4R4 l) { return l.padded_rows; }
};

void quantize_rowwise(const Extents& x, const Extents& q, const Extents& row_scale);
void quantize_row_col(const Extents& x, const Extents& q_row, const Extents& row_scale,
                      const Extents& q_col, const Extents& col_scale);
void dequantize(const Extents& acc, const Extents& row_scale, const Extents& col_scale,
                const Extents& bias, const Extents& out);

void dequantize_rowwise(const Extents& q, const Extents& row_scale, const Extents& out);
void column_sum(const Extents& x, const Extents& sum);

template <class T>
void spmm_coo(const CooList<T>& coo, const Operand<T>& w, const Matrix<T>& out);
template <class T>
void spmm_coo(const CooList<T>& coo, const Matrix<const s8>& w, const Extents& w_scale,
              const Matrix<T>& out);
template <class T>
void spmm_coo_transposed(const Matrix<const T>& x, const CooList<T>& by_column,
                         const Matrix<T>& out);

/// The problem that the operands pose; throws when they pose none.
GemmProblem gemm_s8(const Matrix<const s8>& a, const Matrix<const s8>& b, const Matrix<s32>& d);
template <class T>
GemmProblem gemm(const Operand<T>& a, const Operand<T>& b, const Matrix<T>& d);

/// Throws unless the plan was made for this problem.
void same_problem(const GemmProblem& planned, const GemmProblem& asked);

}  // namespace octet::preconditions
