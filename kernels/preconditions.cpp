#include "preconditions.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <stdexcept>
#include <string_view>

namespace octet {

std::string to_text(const GemmProblem& p) {
  return fmt::format("{} x {} x {} of {} (lda {}, ldb {}, ldd {}, transposed {} {})", p.m, p.n, p.k,
                     name(p.operand), p.lda, p.ldb, p.ldd, p.a_transposed, p.b_transposed);
}

}  // namespace octet

namespace octet::preconditions {
namespace {

template <class... Args>
[[noreturn]] void reject(std::string_view op, fmt::format_string<Args...> text, Args&&... args) {
  throw std::invalid_argument(
      fmt::format("{}: {}", op, fmt::format(text, std::forward<Args>(args)...)));
}

void extent(std::string_view op, std::string_view what, std::int64_t value, std::string_view like,
            std::int64_t expected) {
  if (value != expected) reject(op, "{} is {} but must equal {}, {}", what, value, like, expected);
}

/// Not negative, not null unless empty, rows that do not overlap, addresses that fit.
void view(std::string_view op, std::string_view what, const Extents& m) {
  if (m.rows < 0 || m.cols < 0) {
    reject(op, "{} is {} x {}, but extents cannot be negative", what, m.rows, m.cols);
  }
  if (m.rows == 0 || m.cols == 0) return;
  if (m.data == nullptr) {
    reject(op, "{} is null, but {} x {} elements were expected", what, m.rows, m.cols);
  }
  if (m.rows > 1 && m.ld < m.cols) {
    reject(op, "{} has leading dimension {}, but a row of it takes {}", what, m.ld, m.cols);
  }
  if (reinterpret_cast<std::uintptr_t>(m.data) % static_cast<std::uintptr_t>(m.element_bytes) !=
      0) {
    reject(op, "{} is at address {}, but its elements need a multiple of {}", what,
           fmt::ptr(m.data), m.element_bytes);
  }
}

void disjoint(std::string_view op, std::string_view what, const Extents& a, std::string_view other,
              const Extents& b) {
  if (a.rows == 0 || a.cols == 0 || b.rows == 0 || b.cols == 0) return;
  const auto begin = [](const Extents& m) { return reinterpret_cast<std::uintptr_t>(m.data); };
  const auto end = [&](const Extents& m) {
    return begin(m) + static_cast<std::uintptr_t>(((m.rows - 1) * m.ld + m.cols) * m.element_bytes);
  };
  if (begin(a) < end(b) && begin(b) < end(a)) {
    reject(op, "{} overlaps {}, but an output needs memory of its own", what, other);
  }
}

void multiplicands(std::string_view op, const Extents& a, const Extents& b, const Extents& d) {
  view(op, "a", a);
  view(op, "b", b);
  view(op, "d", d);
}

void product_extents(std::string_view op, std::int64_t m, std::int64_t n, std::int64_t k,
                     std::int64_t b_cols, std::int64_t d_rows, std::int64_t d_cols) {
  extent(op, "b.cols", b_cols, "a.cols", k);
  extent(op, "d.rows", d_rows, "a.rows", m);
  extent(op, "d.cols", d_cols, "b.rows", n);
}

}  // namespace

void quantize_rowwise(const Extents& x, const Extents& q, const Extents& row_scale) {
  constexpr std::string_view kOp = "quantize_rowwise";
  view(kOp, "x", x);
  view(kOp, "q", q);
  view(kOp, "row_scale", row_scale);
  extent(kOp, "q.rows", q.rows, "x.rows", x.rows);
  extent(kOp, "q.cols", q.cols, "x.cols", x.cols);
  extent(kOp, "row_scale.length", row_scale.cols, "x.rows", x.rows);
  disjoint(kOp, "q", q, "x", x);
  disjoint(kOp, "row_scale", row_scale, "x", x);
  disjoint(kOp, "row_scale", row_scale, "q", q);
}

void quantize_row_col(const Extents& x, const Extents& q_row, const Extents& row_scale,
                      const Extents& q_col, const Extents& col_scale) {
  constexpr std::string_view kOp = "quantize_row_col";
  view(kOp, "x", x);
  view(kOp, "q_row", q_row);
  view(kOp, "row_scale", row_scale);
  view(kOp, "q_col", q_col);
  view(kOp, "col_scale", col_scale);
  extent(kOp, "q_row.rows", q_row.rows, "x.rows", x.rows);
  extent(kOp, "q_row.cols", q_row.cols, "x.cols", x.cols);
  extent(kOp, "row_scale.length", row_scale.cols, "x.rows", x.rows);
  extent(kOp, "q_col.rows", q_col.rows, "x.cols", x.cols);
  extent(kOp, "q_col.cols", q_col.cols, "x.rows", x.rows);
  extent(kOp, "col_scale.length", col_scale.cols, "x.cols", x.cols);
  disjoint(kOp, "q_row", q_row, "x", x);
  disjoint(kOp, "q_col", q_col, "x", x);
  disjoint(kOp, "q_col", q_col, "q_row", q_row);
  disjoint(kOp, "row_scale", row_scale, "x", x);
  disjoint(kOp, "col_scale", col_scale, "x", x);
  disjoint(kOp, "row_scale", row_scale, "col_scale", col_scale);
  disjoint(kOp, "row_scale", row_scale, "q_row", q_row);
  disjoint(kOp, "row_scale", row_scale, "q_col", q_col);
  disjoint(kOp, "col_scale", col_scale, "q_row", q_row);
  disjoint(kOp, "col_scale", col_scale, "q_col", q_col);
}

void dequantize(const Extents& acc, const Extents& row_scale, const Extents& col_scale,
                const Extents& bias, const Extents& out) {
  constexpr std::string_view kOp = "dequantize";
  view(kOp, "acc", acc);
  view(kOp, "row_scale", row_scale);
  view(kOp, "col_scale", col_scale);
  view(kOp, "bias", bias);
  view(kOp, "out", out);
  extent(kOp, "out.rows", out.rows, "acc.rows", acc.rows);
  extent(kOp, "out.cols", out.cols, "acc.cols", acc.cols);
  extent(kOp, "row_scale.length", row_scale.cols, "acc.rows", acc.rows);
  extent(kOp, "col_scale.length", col_scale.cols, "acc.cols", acc.cols);
  if (bias.cols != 0) extent(kOp, "bias.length", bias.cols, "acc.cols", acc.cols);
  disjoint(kOp, "out", out, "acc", acc);
  disjoint(kOp, "out", out, "row_scale", row_scale);
  disjoint(kOp, "out", out, "col_scale", col_scale);
  disjoint(kOp, "out", out, "bias", bias);
}

GemmProblem gemm_s8(const Matrix<const s8>& a, const Matrix<const s8>& b, const Matrix<s32>& d) {
  constexpr std::string_view kOp = "gemm_s8";
  multiplicands(kOp, a, b, d);
  product_extents(kOp, a.rows, b.rows, a.cols, b.cols, d.rows, d.cols);
  if (a.cols > kMaxS8Depth) {
    reject(kOp, "K is {}, but int32 accumulators are exact only up to {}", a.cols, kMaxS8Depth);
  }
  disjoint(kOp, "d", d, "a", a);
  disjoint(kOp, "d", d, "b", b);
  return {a.rows, b.rows, a.cols,      DType::s8,   DType::s32,
          false,  false,  a.layout.ld, b.layout.ld, d.layout.ld};
}

template <class T>
GemmProblem gemm(const Operand<T>& a, const Operand<T>& b, const Matrix<T>& d) {
  constexpr std::string_view kOp = kDType<T> == DType::f16 ? "gemm_f16" : "gemm_bf16";
  // A transposed operand is a row-major matrix of the transposed extents.
  const auto as_it_lies = [](const Operand<T>& o) {
    return o.transposed ? Matrix<const T>(o.data, o.cols, o.rows, RowMajor{o.ld})
                        : Matrix<const T>(o.data, o.rows, o.cols, RowMajor{o.ld});
  };
  const Extents ea = as_it_lies(a), eb = as_it_lies(b);
  multiplicands(kOp, ea, eb, d);
  product_extents(kOp, a.rows, b.rows, a.cols, b.cols, d.rows, d.cols);
  disjoint(kOp, "d", d, "a", ea);
  disjoint(kOp, "d", d, "b", eb);
  return {a.rows,       b.rows,       a.cols, kDType<T>, kDType<T>,
          a.transposed, b.transposed, a.ld,   b.ld,      d.layout.ld};
}

template GemmProblem gemm(const Operand<f16>&, const Operand<f16>&, const Matrix<f16>&);
template GemmProblem gemm(const Operand<bf16>&, const Operand<bf16>&, const Matrix<bf16>&);

void same_problem(const GemmProblem& planned, const GemmProblem& asked) {
  if (planned == asked) return;
  reject("gemm", "the plan was made for {}, but the operands pose {}", to_text(planned),
         to_text(asked));
}

}  // namespace octet::preconditions
