#include <algorithm>

#include "preconditions/common.hpp"

namespace octet {

std::string to_text(const GemmProblem& p) {
  return fmt::format(
      "{} x {} x {} of {} to {} (lda {}, ldb {}, ldd {}, layouts {} {} {}, batch {} by {} {} {}, "
      "bias {}, alphas {}{})",
      p.m, p.n, p.k, name(p.operand), name(p.result), p.lda, p.ldb, p.ldd, name(p.a_layout),
      name(p.b_layout), name(p.d_layout), p.batch, p.a_stride, p.b_stride, p.d_stride, p.bias,
      p.alphas,
      p.accumulation == Accumulation::promoted ? "" : fmt::format(", {}", name(p.accumulation)));
}

}  // namespace octet

namespace octet::preconditions {
namespace {

/// From the first element of a batch to the end of what it may touch.
Extents whole(const BatchExtents& b) {
  Extents all = b.first;
  all.capacity = (b.count == 0 || all.capacity == 0) ? 0 : (b.count - 1) * b.stride + all.capacity;
  return all;
}

/// Whether two rows of a row-major batch share an element. A matrix may lie between the rows of
/// another, as the heads of an attention layer do.
bool results_overlap(const BatchExtents& d) {
  const Extents& m = d.first;
  const std::int64_t span = (m.rows - 1) * m.ld + m.cols;
  if (d.count <= 1 || m.rows <= 0 || m.cols <= 0 || d.stride >= span) return false;
  if (d.stride < m.cols) return true;
  if ((d.count - 1) * d.stride + m.cols <= m.ld) return false;
  for (std::int64_t distance = 1; distance < d.count; ++distance) {
    const std::int64_t offset = distance * d.stride;
    if (offset >= span) break;
    const std::int64_t row = std::min(offset / m.ld, m.rows - 1);
    // The rows of the first matrix that start next to the other's first row.
    if (offset - row * m.ld < m.cols) return true;
    if (row + 1 < m.rows && (row + 1) * m.ld - offset < m.cols) return true;
  }
  return false;
}

void batch(std::string_view op, std::string_view what, const BatchExtents& b) {
  view(op, what, b.first);
  if (b.count < 0) reject(op, "{} has {} matrices, but a count cannot be negative", what, b.count);
  if (b.count > 1 && b.stride < 0) {
    reject(op, "{} has stride {} between its matrices, but needs one of 0 or more", what, b.stride);
  }
}

/// What all products ask; the problem but for its types.
GemmProblem product(std::string_view op, const BatchExtents& a, const BatchExtents& b,
                    const BatchExtents& d) {
  batch(op, "a", a);
  batch(op, "b", b);
  batch(op, "d", d);
  extent(op, "b.cols", b.first.cols, "a.cols", a.first.cols);
  extent(op, "d.rows", d.first.rows, "a.rows", a.first.rows);
  extent(op, "d.cols", d.first.cols, "b.rows", b.first.rows);
  extent(op, "b.count", b.count, "a.count", a.count);
  extent(op, "d.count", d.count, "a.count", a.count);
  if (results_overlap(d)) {
    reject(op, "d has stride {} between its matrices, under which results of {} x {} overlap",
           d.stride, d.first.rows, d.first.cols);
  }
  disjoint(op, "d", whole(d), "a", whole(a));
  disjoint(op, "d", whole(d), "b", whole(b));
  const auto stride = [](const BatchExtents& x) { return x.count > 1 ? x.stride : 0; };
  return {.m = a.first.rows,
          .n = b.first.rows,
          .k = a.first.cols,
          .a_layout = a.first.layout,
          .b_layout = b.first.layout,
          .d_layout = d.first.layout,
          .lda = a.first.ld,
          .ldb = b.first.ld,
          .ldd = d.first.ld,
          .batch = a.count,
          .a_stride = stride(a),
          .b_stride = stride(b),
          .d_stride = stride(d)};
}

/// The extents themselves are checked by `product`, the depth before it: it needs no valid data.
void depth(std::string_view op, std::int64_t k) {
  if (k > kMaxS8Depth) {
    reject(op, "K is {}, but int32 accumulators are exact only up to {}", k, kMaxS8Depth);
  }
}

}  // namespace

GemmProblem gemm_s8(const BatchExtents& a, const BatchExtents& b, const BatchExtents& d) {
  constexpr std::string_view kOp = "gemm_s8";
  depth(kOp, a.first.cols);
  GemmProblem problem = product(kOp, a, b, d);
  problem.operand = DType::s8;
  problem.result = DType::s32;
  return problem;
}

GemmProblem gemm_s8(const BatchExtents& a, const BatchExtents& b, Vector<const float> alpha,
                    const BatchExtents& d) {
  constexpr std::string_view kOp = "gemm_s8";
  depth(kOp, a.first.cols);
  GemmProblem problem = product(kOp, a, b, d);
  view(kOp, "alpha", alpha);
  if (alpha.length != 1 && alpha.length != problem.m) {
    reject(kOp, "alpha.length is {} but must be 1 or equal a.rows, {}", alpha.length, problem.m);
  }
  disjoint(kOp, "d", d.first, "alpha", alpha);
  problem.operand = DType::s8;
  problem.result = DType::s8;
  problem.alphas = alpha.length;
  return problem;
}

template <class T>
GemmProblem gemm(const Operand<T>& a, const Operand<T>& b, const Batch<T>& d,
                 const Vector<const T>& bias) {
  constexpr std::string_view kOp = kDType<T> == DType::f16 ? "gemm_f16" : "gemm_bf16";
  GemmProblem problem = product(kOp, a, b, d);
  view(kOp, "bias", bias);
  if (bias.length != 0) {
    extent(kOp, "bias.length", bias.length, "b.rows", problem.n);
    disjoint(kOp, "d", whole(d), "bias", bias);
  }
  problem.operand = kDType<T>;
  problem.result = kDType<T>;
  problem.bias = bias.length != 0;
  return problem;
}

template GemmProblem gemm(const Operand<f16>&, const Operand<f16>&, const Batch<f16>&,
                          const Vector<const f16>&);
template GemmProblem gemm(const Operand<bf16>&, const Operand<bf16>&, const Batch<bf16>&,
                          const Vector<const bf16>&);

GemmProblem scaled_gemm(const Extents& a, const Extents& b, const Extents& row_scale,
                        const Extents& col_scale, const Extents& bias, const Extents& out,
                        DType result, DType operand, Accumulation accumulation) {
  constexpr std::string_view kOp = "scaled_gemm";
  if (operand == DType::s8) depth(kOp, a.cols);
  view(kOp, "a", a);
  view(kOp, "b", b);
  view(kOp, "row_scale", row_scale);
  view(kOp, "col_scale", col_scale);
  view(kOp, "bias", bias);
  view(kOp, "out", out);
  extent(kOp, "b.cols", b.cols, "a.cols", a.cols);
  extent(kOp, "row_scale.length", row_scale.cols, "a.rows", a.rows);
  extent(kOp, "col_scale.length", col_scale.cols, "b.rows", b.rows);
  if (bias.cols != 0) extent(kOp, "bias.length", bias.cols, "b.rows", b.rows);
  extent(kOp, "out.rows", out.rows, "a.rows", a.rows);
  extent(kOp, "out.cols", out.cols, "b.rows", b.rows);
  disjoint(kOp, "out", out, "a", a);
  disjoint(kOp, "out", out, "b", b);
  disjoint(kOp, "out", out, "row_scale", row_scale);
  disjoint(kOp, "out", out, "col_scale", col_scale);
  disjoint(kOp, "out", out, "bias", bias);
  return {.m = a.rows,
          .n = b.rows,
          .k = a.cols,
          .operand = operand,
          .result = result,
          .lda = a.ld,
          .ldb = b.ld,
          .ldd = out.ld,
          .bias = bias.cols != 0,
          .accumulation = accumulation};
}

void library_multiplies(LayoutKind b_layout) {
  if (b_layout == LayoutKind::col || b_layout == LayoutKind::col32) {
    reject("library_multiplies", "b lies in {}, but int8 products take it in {}, {} or {}",
           name(b_layout), RowMajor::kName, Col4_4R2_8C::kName, Col32_2R_4R4::kName);
  }
}

void same_problem(const GemmProblem& planned, const GemmProblem& asked, std::string_view op) {
  if (planned == asked) return;
  reject(op, "the plan was made for {}, but the operands pose {}", to_text(planned),
         to_text(asked));
}

}  // namespace octet::preconditions
