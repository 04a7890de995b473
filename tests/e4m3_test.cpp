// Quantization to e4m3 and its products: see harness/operators/e4m3.hpp. Broken ones must be
// reported, wrong calls refused.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "harness/negative_control.hpp"
#include "harness/operators/e4m3.hpp"
#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(QuantizeRowwiseE4m3_f16, QuantizeRowwiseE4m3, f16, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeRowwiseE4m3_bf16, QuantizeRowwiseE4m3, bf16, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeRowwiseE4m3_f32, QuantizeRowwiseE4m3, f32, OCTET_FN(quantize_rowwise));
OCTET_KERNEL_SUITE(QuantizeRowColE4m3_f16, QuantizeRowColE4m3, f16, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeRowColE4m3_bf16, QuantizeRowColE4m3, bf16, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeRowColE4m3_f32, QuantizeRowColE4m3, f32, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(ScaledGemmE4m3_f16, ScaledGemmE4m3, f16, PlannedScaledGemmE4m3{});
OCTET_KERNEL_SUITE(ScaledGemmE4m3_bf16, ScaledGemmE4m3, bf16, PlannedScaledGemmE4m3{});
OCTET_KERNEL_SUITE(ScaledGemmE4m3_f32, ScaledGemmE4m3, f32, PlannedScaledGemmE4m3{});
OCTET_KERNEL_SUITE(ScaledGemmE4m3_f16_promoted, ScaledGemmE4m3Promoted, f16,
                   PlannedScaledGemmE4m3{});
OCTET_KERNEL_SUITE(ScaledGemmE4m3_bf16_promoted, ScaledGemmE4m3Promoted, bf16,
                   PlannedScaledGemmE4m3{});

// ---- quantization that is wrong ----

/// Codes of int8 in the place of e4m3's, and scales of theirs.
struct CodesOfInt8 {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<e4m3> q, Vector<float> row_scale) {
    const Matrix<s8> bytes(reinterpret_cast<s8*>(q.data), q.rows, q.cols, q.layout);
    quantize_rowwise<f16>(backend, x, bytes, row_scale);
  }
};

/// The largest code is NaN's.
struct LargestIsNan {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<e4m3> q, Vector<float> row_scale) {
    quantize_rowwise<f16>(backend, x, q, row_scale);
    fill(backend, &q(5, 7), 0x7f, 1);
  }
};

struct RowColRight {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<e4m3> q_row, Vector<float> row_scale,
                  Matrix<e4m3> q_col, Vector<float> col_scale) {
    quantize_row_col<f16>(backend, x, q_row, row_scale, q_col, col_scale);
  }
};

/// Rows get the columns' scales where both exist.
struct SwappedScales {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<e4m3> q_row, Vector<float> row_scale,
                  Matrix<e4m3> q_col, Vector<float> col_scale) {
    quantize_row_col<f16>(backend, x, q_row, row_scale, q_col, col_scale);
    copy(backend, row_scale.data, col_scale.data,
         static_cast<std::size_t>(row_scale.length) * sizeof(float));
  }
};

TEST(NegativeControlE4m3, RightQuantizationPasses) {
  expect_verdict<QuantizeRowColE4m3, f16, RowColRight>(small_matrix(), Depth::check_and_time,
                                                       "PASSED", "");
}
TEST(NegativeControlE4m3, WrongQuantizationIsReported) {
  const Problem p = small_matrix();
  expect_verdict<QuantizeRowwiseE4m3, f16, UnwrittenTail>(p, Depth::check, "FAILED", "q: ");
  expect_verdict<QuantizeRowwiseE4m3, f16, OneWrongRow>(p, Depth::check, "FAILED", "q: ");
  expect_verdict<QuantizeRowwiseE4m3, f16, CodesOfInt8>(p, Depth::check, "FAILED", "row_scale: ");
  expect_verdict<QuantizeRowwiseE4m3, f16, LargestIsNan>(p, Depth::check, "FAILED", "nan (0x7f)");
  expect_verdict<QuantizeRowColE4m3, f16, SwappedScales>(p, Depth::check, "FAILED", "row_scale: ");
}

// ---- products that are wrong ----

template <class Change>
struct ChangedProduct {
  template <class B, class T>
  void operator()(B backend, Matrix<const e4m3> a, Matrix<const e4m3> b,
                  Vector<const float> row_scale, Vector<const float> col_scale,
                  Vector<const T> bias, Matrix<T> out, Accumulation accumulation) {
    Change{}(a, b, row_scale, col_scale, bias, out);
    product(backend, a, b, row_scale, col_scale, bias, out, accumulation);
  }
  PlannedScaledGemmE4m3 product;
};

using RightProduct = ChangedProduct<decltype([](auto&...) {})>;
using ScalesSwapped = ChangedProduct<decltype(
    [](auto&, auto&, auto& rows, auto& cols, auto&...) { std::swap(rows, cols); })>;
using SliceDropped = ChangedProduct<decltype([](auto& a, auto& b, auto&...) {
  a.cols -= 32;
  b.cols -= 32;
})>;
using BiasDropped =
    ChangedProduct<decltype([](auto&, auto&, auto&, auto&, auto& bias, auto&) { bias = {}; })>;
using TileUnwritten =
    ChangedProduct<decltype([](auto& a, auto&, auto& rows, auto&, auto&, auto& out) {
      a.rows -= 64;
      rows.length -= 64;
      out.rows -= 64;
    })>;

/// Rows 64 and 65 have each other's result.
struct RowsExchanged {
  template <class B, class T>
  void operator()(B backend, Matrix<const e4m3> a, Matrix<const e4m3> b,
                  Vector<const float> row_scale, Vector<const float> col_scale,
                  Vector<const T> bias, Matrix<T> out, Accumulation accumulation) {
    product(backend, a, b, row_scale, col_scale, bias, out, accumulation);
    copy(backend, &out(64, 0), &out(65, 0), static_cast<std::size_t>(out.cols) * sizeof(T));
  }
  PlannedScaledGemmE4m3 product;
};

template <template <class, class> class D, class Op>
void expect_product_verdict(std::string_view status, std::string_view message,
                            Depth depth = Depth::check) {
  Problem p;
  p.name = "192x192x288_pad16_bias";
  p.m = 192;
  p.n = 192;
  p.k = 288;
  p.ld_padding = 16;
  p.bias = true;
  expect_verdict<D, bf16, Op>(p, depth, status, message);
}

TEST(NegativeControlE4m3, RightProductPasses) {
  expect_product_verdict<ScaledGemmE4m3, RightProduct>("PASSED", "", Depth::check_and_time);
  expect_product_verdict<ScaledGemmE4m3Promoted, RightProduct>("PASSED", "");
}
TEST(NegativeControlE4m3, SwappedScalesAreReported) {
  expect_product_verdict<ScaledGemmE4m3, ScalesSwapped>("FAILED", "out: ");
}
TEST(NegativeControlE4m3, DroppedSliceIsReported) {
  expect_product_verdict<ScaledGemmE4m3, SliceDropped>("FAILED", "out: ");
  expect_product_verdict<ScaledGemmE4m3Promoted, SliceDropped>("FAILED", "out: ");
}
TEST(NegativeControlE4m3, DroppedBiasIsReported) {
  expect_product_verdict<ScaledGemmE4m3, BiasDropped>("FAILED", "out: ");
}
TEST(NegativeControlE4m3, UnwrittenTileIsReported) {
  expect_product_verdict<ScaledGemmE4m3, TileUnwritten>("FAILED", "out: ");
}
TEST(NegativeControlE4m3, ARowOfAnotherIsReported) {
  expect_product_verdict<ScaledGemmE4m3, RowsExchanged>("FAILED", "1 of 192 rows are not the");
}

// ---- wrong calls ----

template <class F>
std::string refusal(F&& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "it was accepted";
}

template <class B>
void expect_refusals(B backend) {
  std::array<f16, 64> x_memory{}, out_memory{}, bias_memory{};
  std::array<e4m3, 128> a_memory{}, b_memory{};
  std::array<float, 8> row_memory{}, col_memory{};
  const Matrix<const f16> x(x_memory.data(), 4, 8);
  const Matrix<e4m3> q(a_memory.data(), 4, 8), q_col(b_memory.data(), 8, 4);
  const Vector<float> rows(row_memory.data(), 4), cols(col_memory.data(), 8);

  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, x, Matrix<e4m3>(a_memory.data(), 5, 8), rows);
            }),
            "quantize_rowwise: q.rows is 5 but must equal x.rows, 4");
  EXPECT_EQ(refusal([&] { quantize_rowwise<f16>(backend, x, q, cols); }),
            "quantize_rowwise: row_scale.length is 8 but must equal x.rows, 4");
  EXPECT_EQ(refusal([&] {
              const Matrix<e4m3> over(reinterpret_cast<e4m3*>(x_memory.data()), 4, 8);
              quantize_rowwise<f16>(backend, x, over, rows);
            }),
            "quantize_rowwise: q overlaps x, but an output needs memory of its own");
  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, {nullptr, 4, 8}, q, rows);
            }),
            "quantize_rowwise: x is null, but 4 x 8 elements were expected");
  EXPECT_EQ(refusal([&] { quantize_row_col<f16>(backend, x, q, rows, q, cols); }),
            "quantize_row_col: q_col.rows is 4 but must equal x.cols, 8");
  EXPECT_EQ(refusal([&] { quantize_row_col<f16>(backend, x, q, rows, q_col, rows); }),
            "quantize_row_col: col_scale.length is 4 but must equal x.cols, 8");
  EXPECT_NO_THROW(
      quantize_rowwise<f16>(backend, {nullptr, 0, 8}, Matrix<e4m3>(nullptr, 0, 8), {nullptr, 0}));
  EXPECT_NO_THROW(quantize_row_col<f16>(backend, {nullptr, 0, 8}, Matrix<e4m3>(nullptr, 0, 8),
                                        {nullptr, 0}, Matrix<e4m3>(nullptr, 8, 0), cols));

  GemmWorkspace<B> none;
  const Matrix<const e4m3> a(a_memory.data(), 4, 8), b(b_memory.data(), 6, 8);
  const Vector<const float> row_scale(row_memory.data(), 4), col_scale(col_memory.data(), 6);
  const Matrix<f16> out(out_memory.data(), 4, 6);
  const Vector<const f16> bias(bias_memory.data(), 6);
  const auto plan = [&](Matrix<const e4m3> a, Matrix<const e4m3> b, Vector<const float> row_scale,
                        Vector<const float> col_scale, Vector<const f16> bias, Matrix<f16> out) {
    return refusal([&] { plan_scaled_gemm<f16>(none, a, b, row_scale, col_scale, bias, out); });
  };
  EXPECT_EQ(plan(a, {b_memory.data(), 6, 7}, row_scale, col_scale, bias, out),
            "scaled_gemm: b.cols is 7 but must equal a.cols, 8");
  EXPECT_EQ(plan({nullptr, 4, 8}, b, row_scale, col_scale, bias, out),
            "scaled_gemm: a is null, but 4 x 8 elements were expected");
  EXPECT_EQ(plan(a, b, col_scale, col_scale, bias, out),
            "scaled_gemm: row_scale.length is 6 but must equal a.rows, 4");
  EXPECT_EQ(plan(a, b, row_scale, row_scale, bias, out),
            "scaled_gemm: col_scale.length is 4 but must equal b.rows, 6");
  EXPECT_EQ(plan(a, b, row_scale, col_scale, {bias_memory.data(), 5}, out),
            "scaled_gemm: bias.length is 5 but must equal b.rows, 6");
  EXPECT_EQ(plan(a, b, row_scale, col_scale, bias, {out_memory.data(), 5, 6}),
            "scaled_gemm: out.rows is 5 but must equal a.rows, 4");
  EXPECT_EQ(plan(a, b, row_scale, col_scale, bias, {out_memory.data(), 4, 5}),
            "scaled_gemm: out.cols is 5 but must equal b.rows, 6");
  EXPECT_EQ(plan(a, b, row_scale, col_scale, bias, {reinterpret_cast<f16*>(a_memory.data()), 4, 6}),
            "scaled_gemm: out overlaps a, but an output needs memory of its own");

  GemmPlan<B> made;
  made.problem = {.m = 4,
                  .n = 6,
                  .k = 16,
                  .operand = DType::e4m3,
                  .result = DType::f16,
                  .lda = 8,
                  .ldb = 8,
                  .ldd = 6,
                  .bias = true,
                  .accumulation = Accumulation::tensor_core};
  const auto run = [&] { scaled_gemm<f16>(backend, made, a, b, row_scale, col_scale, bias, out); };
  EXPECT_EQ(refusal(run),
            "scaled_gemm: the plan was made for 4 x 6 x 16 of e4m3 to f16 (lda 8, ldb 8, ldd 6, "
            "layouts row row row, batch 1 by 0 0 0, bias true, alphas 0, summed in tensor cores), "
            "but the operands pose 4 x 6 x 8 of e4m3 to f16 (lda 8, ldb 8, ldd 6, layouts row row "
            "row, batch 1 by 0 0 0, bias true, alphas 0, summed in tensor cores)");
  made.problem.k = 8;
  EXPECT_EQ(refusal(run), "scaled_gemm: the plan is empty; make one with plan_scaled_gemm");
}

TEST(PreconditionsE4m3, EveryBackendRefusesWrongCalls) {
  for_each_backend([](auto backend) { expect_refusals(backend); });
}

template <class B>
std::string refused_extents(B backend) {
  GemmWorkspace<B> workspace = make_gemm_workspace(backend);
  const Buffer<B, e4m3> a(backend, 64 * 64), b(backend, 64 * 64);
  const Buffer<B, float> scales(backend, 64);
  const Buffer<B, f16> out(backend, 64 * 64);
  const Vector<const float> scale(scales.data(), 33);
  try {
    plan_scaled_gemm<f16>(workspace, Matrix<const e4m3>(a.data(), 33, 35),
                          Matrix<const e4m3>(b.data(), 33, 35), scale, scale, {},
                          Matrix<f16>(out.data(), 33, 33));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

/// The library's limits are stated; the CPU has none.
TEST(PreconditionsE4m3, WhatTheLibraryDoesNotTakeIsRefused) {
  for_each_backend([]<class B>(B) {
    if (!available(B{})) return;
    const std::string text = refused_extents(make_backend<B>());
    if (std::is_same_v<B, Cpu>) {
      EXPECT_EQ(text, "");
    } else {
      EXPECT_NE(text.find("N and K are multiples of 16"), std::string::npos) << text;
    }
  });
}

}  // namespace
}  // namespace octet::harness
