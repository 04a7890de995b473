#include "preconditions/common.hpp"

namespace octet {

std::string to_text(const GemmProblem& p) {
  return fmt::format(
      "{} x {} x {} of {} to {} (lda {}, ldb {}, ldd {}, layouts {} {} {}, batch {} by {} {} {}, "
      "bias {}, alphas {})",
      p.m, p.n, p.k, name(p.operand), name(p.result), p.lda, p.ldb, p.ldd, name(p.a_layout),
      name(p.b_layout), name(p.d_layout), p.batch, p.a_stride, p.b_stride, p.d_stride, p.bias,
      p.alphas);
}

}  // namespace octet

namespace octet::preconditions {
namespace {

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

GemmProblem gemm_s8(const Matrix<const s8>& a, const Matrix<const s8>& b, const Matrix<s32>& d) {
  constexpr std::string_view kOp = "gemm_s8";
  multiplicands(kOp, a, b, d);
  product_extents(kOp, a.rows, b.rows, a.cols, b.cols, d.rows, d.cols);
  if (a.cols > kMaxS8Depth) {
    reject(kOp, "K is {}, but int32 accumulators are exact only up to {}", a.cols, kMaxS8Depth);
  }
  disjoint(kOp, "d", d, "a", a);
  disjoint(kOp, "d", d, "b", b);
  return {.m = a.rows,
          .n = b.rows,
          .k = a.cols,
          .lda = a.layout.ld,
          .ldb = b.layout.ld,
          .ldd = d.layout.ld};
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
  return {.m = a.rows,
          .n = b.rows,
          .k = a.cols,
          .operand = kDType<T>,
          .result = kDType<T>,
          .a_layout = a.transposed ? LayoutKind::col : LayoutKind::row,
          .b_layout = b.transposed ? LayoutKind::col : LayoutKind::row,
          .lda = a.ld,
          .ldb = b.ld,
          .ldd = d.layout.ld};
}

template GemmProblem gemm(const Operand<f16>&, const Operand<f16>&, const Matrix<f16>&);
template GemmProblem gemm(const Operand<bf16>&, const Operand<bf16>&, const Matrix<bf16>&);

void same_problem(const GemmProblem& planned, const GemmProblem& asked) {
  if (planned == asked) return;
  reject("gemm", "the plan was made for {}, but the operands pose {}", to_text(planned),
         to_text(asked));
}

}  // namespace octet::preconditions
