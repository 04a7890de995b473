#include <limits>

#include "preconditions/common.hpp"

namespace octet::preconditions {
namespace {

/// A list that can hold entries of a rows x cols matrix.
template <class T>
void list(std::string_view op, std::string_view what, const CooList<T>& coo) {
  constexpr std::int64_t kMost = std::numeric_limits<s32>::max();
  if (coo.rows < 0 || coo.cols < 0 || coo.rows > kMost || coo.cols > kMost) {
    reject(op, "{} is {} x {}, but its 32-bit indices take extents from 0 to {}", what, coo.rows,
           coo.cols, kMost);
  }
  if (coo.capacity < 0) {
    reject(op, "{} has capacity {}, but it cannot be negative", what, coo.capacity);
  }
  view(op, fmt::format("{}.row", what), Vector<s32>(coo.row, coo.capacity));
  view(op, fmt::format("{}.col", what), Vector<s32>(coo.col, coo.capacity));
  view(op, fmt::format("{}.value", what), Vector<T>(coo.value, coo.capacity));
  view(op, fmt::format("{}.count", what), Vector<std::int64_t>(coo.count, 1));
}

template <class T>
void disjoint_from_list(std::string_view op, const Extents& out, std::string_view what,
                        const CooList<T>& coo) {
  const auto apart = [&](std::string_view part, const Extents& memory) {
    disjoint(op, "out", out, fmt::format("{}.{}", what, part), memory);
  };
  apart("row", Vector<s32>(coo.row, coo.capacity));
  apart("col", Vector<s32>(coo.col, coo.capacity));
  apart("value", Vector<T>(coo.value, coo.capacity));
  apart("count", Vector<std::int64_t>(coo.count, 1));
}

template <class T>
void product(std::string_view op, const CooList<T>& coo, std::int64_t w_rows, std::int64_t w_cols,
             const Extents& w, const Extents& out) {
  list(op, "coo", coo);
  view(op, "w", w);
  view(op, "out", out);
  extent(op, "w.cols", w_cols, "coo.cols", coo.cols);
  extent(op, "out.rows", out.rows, "coo.rows", coo.rows);
  extent(op, "out.cols", out.cols, "w.rows", w_rows);
  disjoint(op, "out", out, "w", w);
  disjoint_from_list(op, out, "coo", coo);
}

}  // namespace

template <class T>
void spmm_coo(const CooList<T>& coo, const Operand<T>& w, const Matrix<T>& out) {
  constexpr std::string_view kOp = "spmm_coo";
  if (w.count != 1) reject(kOp, "w is a batch of {}, but one matrix was expected", w.count);
  // A transposed operand is a row-major matrix of the transposed extents.
  const Matrix<const T> as_it_lies = w.transposed
                                         ? Matrix<const T>(w.data, w.cols, w.rows, RowMajor{w.ld})
                                         : Matrix<const T>(w.data, w.rows, w.cols, RowMajor{w.ld});
  product(kOp, coo, w.rows, w.cols, as_it_lies, out);
}

template <class T>
void spmm_coo(const CooList<T>& coo, const Matrix<const s8>& w, const Extents& w_scale,
              const Matrix<T>& out) {
  constexpr std::string_view kOp = "spmm_coo";
  product(kOp, coo, w.rows, w.cols, w, out);
  view(kOp, "w_scale", w_scale);
  extent(kOp, "w_scale.length", w_scale.cols, "w.rows", w.rows);
  disjoint(kOp, "out", out, "w_scale", w_scale);
}

template <class T>
void spmm_coo_transposed(const Matrix<const T>& x, const CooList<T>& by_column,
                         const Matrix<T>& out) {
  constexpr std::string_view kOp = "spmm_coo_transposed";
  list(kOp, "by_column", by_column);
  view(kOp, "x", x);
  view(kOp, "out", out);
  extent(kOp, "by_column.rows", by_column.rows, "x.rows", x.rows);
  extent(kOp, "out.rows", out.rows, "x.cols", x.cols);
  extent(kOp, "out.cols", out.cols, "by_column.cols", by_column.cols);
  disjoint(kOp, "out", out, "x", x);
  disjoint_from_list<T>(kOp, out, "by_column", by_column);
}

template void spmm_coo(const CooList<f16>&, const Operand<f16>&, const Matrix<f16>&);
template void spmm_coo(const CooList<bf16>&, const Operand<bf16>&, const Matrix<bf16>&);
template void spmm_coo(const CooList<f16>&, const Matrix<const s8>&, const Extents&,
                       const Matrix<f16>&);
template void spmm_coo(const CooList<bf16>&, const Matrix<const s8>&, const Extents&,
                       const Matrix<bf16>&);
template void spmm_coo_transposed(const Matrix<const f16>&, const CooList<f16>&,
                                  const Matrix<f16>&);
template void spmm_coo_transposed(const Matrix<const bf16>&, const CooList<bf16>&,
                                  const Matrix<bf16>&);

}  // namespace octet::preconditions
