// Wrong calls are refused with one sentence that names the operator, the value and what would be
// right, before any device is touched; calls with nothing to do do nothing.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "harness/test_run.hpp"
#include "octet/buffer.hpp"
#include "octet/column_sum.hpp"
#include "octet/dequantize.hpp"
#include "octet/gemm.hpp"
#include "octet/outliers.hpp"
#include "octet/quantize.hpp"

namespace octet::harness {
namespace {

/// The sentence with which `call` refuses its arguments.
template <class F>
std::string refusal(F&& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "it was accepted";
}

/// Host memory that a refused call never reads.
struct Memory {
  std::array<f16, 64> x{};
  std::array<s8, 64> q{}, q_col{};
  std::array<float, 8> row_scale{}, col_scale{};
  std::array<s32, 64> acc{};
};

template <class B>
void expect_refusals(B backend) {
  Memory m;
  const Matrix<const f16> x(m.x.data(), 4, 8);
  const Matrix<s8> q(m.q.data(), 4, 8), q_col(m.q_col.data(), 8, 4);
  const Vector<float> rows(m.row_scale.data(), 4), cols(m.col_scale.data(), 8);
  const Vector<const float> const_rows = rows, const_cols = cols;

  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, x, {m.q.data(), 5, 8}, rows);
            }),
            "quantize_rowwise: q.rows is 5 but must equal x.rows, 4");
  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, x, q, {m.row_scale.data(), 3});
            }),
            "quantize_rowwise: row_scale.length is 3 but must equal x.rows, 4");
  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, {nullptr, 4, 8}, q, rows);
            }),
            "quantize_rowwise: x is null, but 4 x 8 elements were expected");
  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, {m.x.data(), 4, 8, RowMajor{7}}, q, rows);
            }),
            "quantize_rowwise: x has leading dimension 7, but a row of it takes 8");
  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, {m.x.data(), -4, 8}, q, rows);
            }),
            "quantize_rowwise: x is -4 x 8, but extents cannot be negative");
  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, x, {reinterpret_cast<s8*>(m.x.data()), 4, 8}, rows);
            }),
            "quantize_rowwise: q overlaps x, but an output needs memory of its own");

  EXPECT_EQ(refusal([&] {
              quantize_row_col<f16>(backend, x, q, rows, {m.q_col.data(), 4, 8}, cols);
            }),
            "quantize_row_col: q_col.rows is 4 but must equal x.cols, 8");
  EXPECT_EQ(refusal([&] { quantize_row_col<f16>(backend, x, q, rows, q_col, rows); }),
            "quantize_row_col: col_scale.length is 4 but must equal x.cols, 8");
  EXPECT_EQ(refusal([&] {
              quantize_row_col<f16>(backend, x, q, rows, {m.q.data(), 8, 4}, cols);
            }),
            "quantize_row_col: q_col overlaps q_row, but an output needs memory of its own");

  const Matrix<const s32> acc(m.acc.data(), 4, 8);
  const Matrix<f16> out(m.x.data(), 4, 8);
  EXPECT_EQ(refusal([&] { dequantize<f16>(backend, acc, const_rows, const_rows, {}, out); }),
            "dequantize: col_scale.length is 4 but must equal acc.cols, 8");
  EXPECT_EQ(refusal([&] {
              const Vector<const f16> bias(m.x.data() + 40, 7);
              dequantize<f16>(backend, acc, const_rows, const_cols, bias, out);
            }),
            "dequantize: bias.length is 7 but must equal acc.cols, 8");
  EXPECT_EQ(refusal([&] {
              const Matrix<f16> odd(reinterpret_cast<f16*>(m.q.data() + 1), 4, 8);
              dequantize<f16>(backend, acc, const_rows, const_cols, {}, odd);
            }).substr(0, 30),
            "dequantize: out is at address ");

  EXPECT_NO_THROW(quantize_rowwise<f16>(backend, {nullptr, 0, 8}, {nullptr, 0, 8}, {nullptr, 0}));
  EXPECT_NO_THROW(quantize_row_col<f16>(backend, {nullptr, 0, 8}, {nullptr, 0, 8}, {nullptr, 0},
                                        {nullptr, 8, 0}, cols));
  EXPECT_NO_THROW(dequantize<f16>(backend, Matrix<const s32>{nullptr, 0, 8}, {nullptr, 0},
                                  const_cols, {}, {nullptr, 0, 8}));
}

TEST(Preconditions, EveryBackendRefusesWrongCalls) {
  for_each_backend([](auto backend) { expect_refusals(backend); });
}

template <class B>
void expect_dequantize_and_sum_refusals(B backend) {
  Memory m;
  const Matrix<const s8> q(m.q.data(), 4, 8);
  const Matrix<const s32, Col32> acc(m.acc.data(), 2, 8);
  const Matrix<f16> out(m.x.data(), 4, 8);
  const Vector<const float> rows(m.row_scale.data(), 4), cols(m.col_scale.data(), 8);
  EXPECT_EQ(refusal([&] { dequantize<f16>(backend, acc, rows, cols, {}, out); }),
            "dequantize: out.rows is 4 but must equal acc.rows, 2");
  EXPECT_EQ(
      refusal([&] {
        const Matrix<const s32, Col32> shorter(m.acc.data(), 2, 8, Col32{1});
        dequantize<f16>(backend, shorter, {m.row_scale.data(), 2}, cols, {}, {m.x.data(), 2, 8});
      }),
      "dequantize: acc in col32 has panels of 1 rows, but needs a multiple of 1 that holds 2");

  EXPECT_EQ(refusal([&] {
              dequantize_rowwise<f16>(backend, q, rows, {m.x.data(), 4, 7});
            }),
            "dequantize_rowwise: out.cols is 7 but must equal q.cols, 8");
  EXPECT_EQ(refusal([&] {
              dequantize_rowwise<f16>(backend, q, rows, {m.x.data(), 5, 8});
            }),
            "dequantize_rowwise: out.rows is 5 but must equal q.rows, 4");
  EXPECT_EQ(refusal([&] { dequantize_rowwise<f16>(backend, q, cols, out); }),
            "dequantize_rowwise: row_scale.length is 8 but must equal q.rows, 4");
  EXPECT_EQ(refusal([&] {
              const Matrix<f16> over(reinterpret_cast<f16*>(m.q.data()), 4, 8);
              dequantize_rowwise<f16>(backend, q, rows, over);
            }),
            "dequantize_rowwise: out overlaps q, but an output needs memory of its own");

  const Matrix<const f16> x(m.x.data(), 4, 8);
  EXPECT_EQ(refusal([&] {
              column_sum<f16>(backend, x, {m.x.data() + 40, 7});
            }),
            "column_sum: sum.length is 7 but must equal x.cols, 8");
  EXPECT_EQ(refusal([&] {
              column_sum<f16>(backend, x, {m.x.data() + 8, 8});
            }),
            "column_sum: sum overlaps x, but an output needs memory of its own");
  EXPECT_EQ(refusal([&] {
              column_sum<f16>(backend, x, {nullptr, 8});
            }),
            "column_sum: sum is null, but 1 x 8 elements were expected");

  EXPECT_NO_THROW(dequantize_rowwise<f16>(backend, {nullptr, 4, 0}, rows, {nullptr, 4, 0}));
  EXPECT_NO_THROW(column_sum<f16>(backend, {nullptr, 4, 0}, {nullptr, 0}));
}

TEST(Preconditions, EveryBackendRefusesWrongDequantizationsAndSums) {
  for_each_backend([](auto backend) { expect_dequantize_and_sum_refusals(backend); });
}

template <class B>
void expect_list_refusals(B backend) {
  std::array<s32, 8> row{}, col{};
  std::array<f16, 8> value{};
  std::int64_t count = 0;
  std::array<f16, 64> weights{}, output{};
  std::array<s8, 64> bytes{};
  std::array<float, 8> scale{};
  const CooList<f16> coo{row.data(), col.data(), value.data(), 8, &count, 4, 8};
  const Matrix<const f16> w(weights.data(), 6, 8);
  const Matrix<f16> out(output.data(), 4, 6);
  const auto spmm = [&](const CooList<f16>& list, Operand<f16> operand, Matrix<f16> result) {
    return refusal([&] { spmm_coo<f16>(backend, list, operand, result); });
  };
  EXPECT_EQ(spmm(coo, Matrix<const f16>(weights.data(), 6, 7), out),
            "spmm_coo: w.cols is 7 but must equal coo.cols, 8");
  EXPECT_EQ(spmm(coo, transposed(w), out), "spmm_coo: w.cols is 6 but must equal coo.cols, 8");
  EXPECT_EQ(spmm(coo, w, {output.data(), 5, 6}),
            "spmm_coo: out.rows is 5 but must equal coo.rows, 4");
  EXPECT_EQ(spmm(coo, w, {output.data(), 4, 5}),
            "spmm_coo: out.cols is 5 but must equal w.rows, 6");
  EXPECT_EQ(spmm(coo, w, {weights.data(), 4, 6}),
            "spmm_coo: out overlaps w, but an output needs memory of its own");
  EXPECT_EQ(spmm(coo, Batch<const f16>(w, 2, 48), out),
            "spmm_coo: w is a batch of 2, but one matrix was expected");
  CooList<f16> wrong = coo;
  wrong.capacity = -1;
  EXPECT_EQ(spmm(wrong, w, out), "spmm_coo: coo has capacity -1, but it cannot be negative");
  wrong = coo;
  wrong.cols = std::int64_t{1} << 31;
  EXPECT_EQ(spmm(wrong, w, out),
            "spmm_coo: coo is 4 x 2147483648, but its 32-bit indices take extents from 0 to "
            "2147483647");
  wrong = coo;
  wrong.col = nullptr;
  EXPECT_EQ(spmm(wrong, w, out), "spmm_coo: coo.col is null, but 1 x 8 elements were expected");
  wrong = coo;
  wrong.count = nullptr;
  EXPECT_EQ(spmm(wrong, w, out), "spmm_coo: coo.count is null, but 1 x 1 elements were expected");
  wrong = coo;
  wrong.value = output.data();
  EXPECT_EQ(spmm(wrong, w, out),
            "spmm_coo: out overlaps coo.value, but an output needs memory of its own");

  const Matrix<const s8> q(bytes.data(), 6, 8);
  EXPECT_EQ(refusal([&] {
              spmm_coo<f16>(backend, coo, q, {scale.data(), 5}, out);
            }),
            "spmm_coo: w_scale.length is 5 but must equal w.rows, 6");
  EXPECT_EQ(refusal([&] {
              const Matrix<f16> over(reinterpret_cast<f16*>(bytes.data()), 4, 6);
              spmm_coo<f16>(backend, coo, q, {scale.data(), 6}, over);
            }),
            "spmm_coo: out overlaps w, but an output needs memory of its own");

  const auto spmm_transposed = [&](Matrix<const f16> x, Matrix<f16> result) {
    return refusal([&] { spmm_coo_transposed<f16>(backend, x, coo, result); });
  };
  EXPECT_EQ(spmm_transposed({weights.data(), 5, 6}, {output.data(), 6, 8}),
            "spmm_coo_transposed: by_column.rows is 4 but must equal x.rows, 5");
  EXPECT_EQ(spmm_transposed({weights.data(), 4, 6}, {output.data(), 5, 8}),
            "spmm_coo_transposed: out.rows is 5 but must equal x.cols, 6");
  EXPECT_EQ(spmm_transposed({weights.data(), 4, 6}, {output.data(), 6, 7}),
            "spmm_coo_transposed: out.cols is 7 but must equal by_column.cols, 8");
  EXPECT_EQ(spmm_transposed({weights.data(), 4, 6}, {weights.data(), 6, 8}),
            "spmm_coo_transposed: out overlaps x, but an output needs memory of its own");
}

TEST(Preconditions, EveryBackendRefusesWrongLists) {
  for_each_backend([](auto backend) { expect_list_refusals(backend); });
}

template <class B>
void expect_product_refusals(B) {
  if (!available(B{})) {
    if (options().requires_backend(B::kName)) FAIL() << "no " << B::kName << " device answers";
    return;
  }
  const B backend = make_backend<B>();
  GemmWorkspace<B> workspace = make_gemm_workspace(backend);
  std::array<s8, 64> a{}, b{};
  std::array<s32, 64> d{};
  const auto plan = [&](Matrix<const s8> x, Matrix<const s8> y, Matrix<s32> z) {
    return refusal([&] { plan_gemm_s8(workspace, x, y, z); });
  };
  EXPECT_EQ(plan({a.data(), 4, 8}, {b.data(), 4, 7}, {d.data(), 4, 4}),
            "gemm_s8: b.cols is 7 but must equal a.cols, 8");
  EXPECT_EQ(plan({a.data(), 4, 8}, {b.data(), 4, 8}, {d.data(), 5, 4}),
            "gemm_s8: d.rows is 5 but must equal a.rows, 4");
  EXPECT_EQ(plan({a.data(), 1, 131072}, {b.data(), 1, 131072}, {d.data(), 1, 1}),
            "gemm_s8: K is 131072, but int32 accumulators are exact only up to 131071");
  EXPECT_EQ(plan({a.data(), 4, 8}, {nullptr, 4, 8}, {d.data(), 4, 4}),
            "gemm_s8: b is null, but 4 x 8 elements were expected");
  EXPECT_EQ(plan({a.data(), 4, 8}, {b.data(), 4, 8}, {reinterpret_cast<s32*>(a.data()), 4, 4}),
            "gemm_s8: d overlaps a, but an output needs memory of its own");

  Buffer<B, s8> operands(backend, 256);
  Buffer<B, s32> result(backend, 64);
  const Matrix<const s8> x(operands.data(), 4, 16), y(operands.data() + 128, 8, 16);
  const GemmPlan<B> made = plan_gemm_s8(workspace, x, y, Matrix<s32>(result.data(), 4, 8));
  EXPECT_EQ(refusal([&] {
              const Matrix<const s8> shorter(operands.data() + 128, 4, 16);
              gemm_s8(backend, made, x, shorter, Matrix<s32>(result.data(), 4, 4));
            }),
            "gemm: the plan was made for 4 x 8 x 16 of s8 (lda 16, ldb 16, ldd 8, transposed false "
            "false), but the operands pose 4 x 4 x 16 of s8 (lda 16, ldb 16, ldd 4, transposed "
            "false false)");
}

TEST(Preconditions, EveryBackendRefusesWrongProducts) {
  for_each_backend([](auto backend) { expect_product_refusals(backend); });
}

}  // namespace
}  // namespace octet::harness
