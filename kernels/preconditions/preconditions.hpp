// What each operator asks of its arguments, the same for every backend. Each function throws
// std::invalid_argument with one sentence that names the operator, the value and what would be
// right.
//
// Compiled once by the host compiler: the texts, and the library that formats them, stay out of .cu
// files.
#pragma once

#include <cstdint>
#include <string_view>

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
void quantize_colwise(const Extents& x, const Extents& q_col, const Extents& col_scale);
void quantize_row_col(const Extents& x, const Extents& q_row, const Extents& row_scale,
                      const Extents& q_col, const Extents& col_scale);

/// A list without its element type.
struct ListExtents {
  Extents row, col, value, count;
  std::int64_t rows = 0, cols = 0;

  template <class T>
  ListExtents(const CooList<T>& coo)  // NOLINT(google-explicit-constructor)
      : row(Vector<s32>(coo.row, coo.capacity)),
        col(Vector<s32>(coo.col, coo.capacity)),
        value(Vector<T>(coo.value, coo.capacity)),
        count(Vector<std::int64_t>(coo.count, 1)),
        rows(coo.rows),
        cols(coo.cols) {}
};

void quantize_row_col(const Extents& x, float threshold, const Extents& q_row,
                      const Extents& row_scale, const Extents& q_col, const Extents& col_scale,
                      const ListExtents& outliers, const Extents& workspace);
void coo_to_csr(const ListExtents& coo, const Extents& row_offsets);
/// workspace_bytes is what the backend needs.
void sort_by_column(const ListExtents& by_row, const ListExtents& by_column,
                    const Extents& workspace, std::int64_t workspace_bytes);
void extract_outliers(const Extents& w, const Extents& columns, const Extents& out);

void dequantize(const Extents& acc, const Extents& row_scale, const Extents& col_scale,
                const Extents& bias, const Extents& out);
void transform(const Extents& x, const Extents& y);
/// x is a batch, `first` its first matrix.
void flatten(const Extents& first, std::int64_t count, std::int64_t stride, const Extents& y);

/// A batch without its element type.
struct BatchExtents {
  Extents first;
  std::int64_t count = 1, stride = 0;

  template <class T, class L>
  BatchExtents(Matrix<T, L> m)  // NOLINT(google-explicit-constructor)
      : first(m) {}
  template <class T, class L>
  BatchExtents(Batch<T, L> b)  // NOLINT(google-explicit-constructor)
      : first(b.first), count(b.count), stride(b.stride) {}
  template <class T>
  BatchExtents(Operand<T> o)  // NOLINT(google-explicit-constructor)
      : first(o.transposed ? Extents(Matrix<const T, ColMajor>(o.data, o.rows, o.cols, {o.ld}))
                           : Extents(Matrix<const T>(o.data, o.rows, o.cols, {o.ld}))),
        count(o.count),
        stride(o.stride) {}
};

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
GemmProblem gemm_s8(const BatchExtents& a, const BatchExtents& b, const BatchExtents& d);
GemmProblem gemm_s8(const BatchExtents& a, const BatchExtents& b, Vector<const float> alpha,
                    const BatchExtents& d);
template <class T>
GemmProblem gemm(const Operand<T>& a, const Operand<T>& b, const Batch<T>& d,
                 const Vector<const T>& bias);

GemmProblem scaled_gemm(const Extents& a, const Extents& b, const Extents& row_scale,
                        const Extents& col_scale, const Extents& bias, const Extents& out,
                        DType result, DType operand = DType::s8,
                        Accumulation accumulation = Accumulation::promoted);

/// Throws unless int8 products take b in this order.
void library_multiplies(LayoutKind b_layout);

/// Throws unless the plan was made for this problem.
void same_problem(const GemmProblem& planned, const GemmProblem& asked,
                  std::string_view op = "gemm");

}  // namespace octet::preconditions
