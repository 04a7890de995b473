// Wrong calls are refused with one sentence that names the operator, the value and what would be
// right, before any device is touched; calls with nothing to do do nothing.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/test_run.hpp"
#include "octet/buffer.hpp"
#include "octet/column_sum.hpp"
#include "octet/dequantize.hpp"
#include "octet/gemm.hpp"
#include "octet/outliers.hpp"
#include "octet/quantize.hpp"
#include "octet/scaled_gemm.hpp"
#include "octet/transform.hpp"

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

  const Matrix<s8> no_rows(nullptr, 0, 8), no_cols(nullptr, 8, 0);
  EXPECT_NO_THROW(quantize_rowwise<f16>(backend, {nullptr, 0, 8}, no_rows, {nullptr, 0}));
  EXPECT_NO_THROW(
      quantize_row_col<f16>(backend, {nullptr, 0, 8}, no_rows, {nullptr, 0}, no_cols, cols));
  EXPECT_NO_THROW(dequantize<f16>(backend, Matrix<const s32>{nullptr, 0, 8}, {nullptr, 0},
                                  const_cols, {}, {nullptr, 0, 8}));
}

TEST(Preconditions, EveryBackendRefusesWrongCalls) {
  for_each_backend([](auto backend) { expect_refusals(backend); });
}

template <class B>
void expect_transform_refusals(B backend) {
  std::array<s8, 1024> memory{}, other{};
  const Matrix<const s8> x(memory.data(), 4, 8);
  const auto to = [&]<class L>(Matrix<s8, L> y) {
    return refusal([&] { transform(backend, x, y); });
  };
  EXPECT_EQ(to(Matrix<s8, Col32>(other.data(), 5, 8)),
            "transform: y.rows is 5 but must equal x.rows, 4");
  EXPECT_EQ(to(Matrix<s8, ColMajor>(other.data(), 4, 7)),
            "transform: y.cols is 7 but must equal x.cols, 8");
  EXPECT_EQ(to(Matrix<s8, Col32>(nullptr, 4, 8)),
            "transform: y is null, but 4 x 8 elements were expected");
  EXPECT_EQ(to(Matrix<s8, ColMajor>(other.data(), 4, 8, ColMajor{3})),
            "transform: y has leading dimension 3, but a column of it takes 4");
  EXPECT_EQ(to(Matrix<s8, Col32>(other.data(), 4, 8, Col32{3})),
            "transform: y in col32 has panels of 3 rows, but needs a multiple of 1 that holds 4");
  EXPECT_EQ(
      to(Matrix<s8, Col4_4R2_8C>(other.data(), 4, 8, Col4_4R2_8C{12})),
      "transform: y in col4_4r2_8c has panels of 12 rows, but needs a multiple of 8 that holds 4");
  EXPECT_EQ(
      to(Matrix<s8, Col32_2R_4R4>(other.data(), 4, 8, Col32_2R_4R4{8})),
      "transform: y in col32_2r_4r4 has panels of 8 rows, but needs a multiple of 32 that holds 4");
  EXPECT_EQ(to(Matrix<s8, Col32>(memory.data() + 31, 4, 8)),
            "transform: y overlaps x, but an output needs memory of its own");
  // Overlaps the padding alone, which is written too.
  EXPECT_EQ(refusal([&] {
              const Matrix<const s8> behind(other.data() + 100, 4, 8);
              transform(backend, behind, Matrix<s8, Col32>(other.data(), 4, 8));
            }),
            "transform: y overlaps x, but an output needs memory of its own");
  EXPECT_NO_THROW(
      transform(backend, Matrix<const s8>(nullptr, 0, 8), Matrix<s8, Col32>(nullptr, 0, 8)));

  std::array<f16, 64> tensor{}, rows{};
  const Batch<const f16> batch(Matrix<const f16>(tensor.data(), 2, 4, RowMajor{5}), 3, 12);
  const auto flat = [&](Batch<const f16> from, Matrix<f16> y) {
    return refusal([&] { flatten(backend, from, y); });
  };
  EXPECT_EQ(flat(batch, {rows.data(), 5, 4}),
            "flatten: y.rows is 5 but must equal x.count * x.rows, 6");
  EXPECT_EQ(flat(batch, {rows.data(), 6, 5}), "flatten: y.cols is 5 but must equal x.cols, 4");
  EXPECT_EQ(flat({batch.first, -1, 12}, {rows.data(), 6, 4}),
            "flatten: x.count is -1, but a batch cannot have fewer than 0 matrices");
  EXPECT_EQ(flat({batch.first, 3, -12}, {rows.data(), 6, 4}),
            "flatten: x.stride is -12, but matrices must follow each other");
  EXPECT_EQ(flat({Matrix<const f16>(tensor.data(), 2, 4, RowMajor{3}), 3, 12}, {rows.data(), 6, 4}),
            "flatten: x has leading dimension 3, but a row of it takes 4");
  // Only the last matrix of the batch lies there.
  EXPECT_EQ(flat(batch, {tensor.data() + 32, 6, 4}),
            "flatten: y overlaps x, but an output needs memory of its own");
  EXPECT_NO_THROW(flatten(backend, Batch<const f16>(Matrix<const f16>(nullptr, 2, 0), 3, 0),
                          Matrix<f16>(nullptr, 6, 0)));
}

template <class B>
void expect_stochastic_refusals(B backend) {
  Memory m;
  constexpr StochasticRounding kRounding{1, 2};
  const Matrix<const f16> x(m.x.data(), 4, 8);
  const Matrix<s8> q(m.q.data(), 4, 8), q_col(m.q_col.data(), 8, 4);
  const Vector<float> rows(m.row_scale.data(), 4), cols(m.col_scale.data(), 8);
  EXPECT_EQ(refusal([&] {
              quantize_rowwise<f16>(backend, x, kRounding, {m.q.data(), 5, 8}, rows);
            }),
            "quantize_rowwise: q.rows is 5 but must equal x.rows, 4");
  EXPECT_EQ(refusal([&] { quantize_colwise<f16>(backend, x, kRounding, q_col, rows); }),
            "quantize_colwise: col_scale.length is 4 but must equal x.cols, 8");
  EXPECT_EQ(refusal([&] {
              quantize_row_col<f16>(backend, x, kRounding, q, rows, {m.q.data(), 8, 4}, cols);
            }),
            "quantize_row_col: q_col overlaps q_row, but an output needs memory of its own");
  EXPECT_NO_THROW(
      quantize_rowwise<f16>(backend, {nullptr, 0, 8}, kRounding, {nullptr, 0, 8}, {nullptr, 0}));
  EXPECT_NO_THROW(
      quantize_colwise<f16>(backend, {nullptr, 0, 8}, kRounding, {nullptr, 8, 0}, cols));
  EXPECT_NO_THROW(quantize_row_col<f16>(backend, {nullptr, 0, 8}, kRounding, {nullptr, 0, 8},
                                        {nullptr, 0}, {nullptr, 8, 0}, cols));
}

TEST(Preconditions, EveryBackendRefusesWrongStochasticRounding) {
  for_each_backend([](auto backend) { expect_stochastic_refusals(backend); });
}

TEST(Preconditions, EveryBackendRefusesWrongTransforms) {
  for_each_backend([](auto backend) { expect_transform_refusals(backend); });
}

template <class B>
void expect_colwise_refusals(B backend) {
  Memory m;
  const Matrix<const f16> x(m.x.data(), 4, 8);
  const Matrix<s8> q_col(m.q_col.data(), 8, 4);
  const Vector<float> cols(m.col_scale.data(), 8);
  const auto colwise = [&](Matrix<const f16> x, Matrix<s8> q, Vector<float> scale) {
    return refusal([&] { quantize_colwise<f16>(backend, x, q, scale); });
  };
  EXPECT_EQ(colwise(x, {m.q.data(), 4, 8}, cols),
            "quantize_colwise: q_col.rows is 4 but must equal x.cols, 8");
  EXPECT_EQ(colwise(x, {m.q.data(), 8, 3}, cols),
            "quantize_colwise: q_col.cols is 3 but must equal x.rows, 4");
  EXPECT_EQ(colwise(x, q_col, {m.col_scale.data(), 4}),
            "quantize_colwise: col_scale.length is 4 but must equal x.cols, 8");
  EXPECT_EQ(colwise(x, {nullptr, 8, 4}, cols),
            "quantize_colwise: q_col is null, but 8 x 4 elements were expected");
  EXPECT_EQ(colwise(x, {reinterpret_cast<s8*>(m.x.data()), 8, 4}, cols),
            "quantize_colwise: q_col overlaps x, but an output needs memory of its own");
  EXPECT_NO_THROW(quantize_colwise<f16>(backend, {nullptr, 0, 8}, {nullptr, 8, 0}, cols));
}

TEST(Preconditions, EveryBackendRefusesWrongColumns) {
  for_each_backend([](auto backend) { expect_colwise_refusals(backend); });
}

/// A list, its sorted copy and a workspace that a refused call never reads.
struct Lists {
  std::array<s32, 16> row{}, col{}, sorted_row{}, sorted_col{};
  std::array<f16, 16> value{}, sorted_value{};
  std::int64_t count = 0, sorted_count = 0;
  alignas(256) std::array<std::byte, 8192> workspace{};

  CooList<f16> coo() { return {row.data(), col.data(), value.data(), 16, &count, 4, 8}; }
  CooList<f16> sorted() {
    return {sorted_row.data(), sorted_col.data(), sorted_value.data(), 16, &sorted_count, 4, 8};
  }
  Vector<std::byte> bytes(std::int64_t length = 8192) { return {workspace.data(), length}; }
};

template <class B>
void expect_outlier_refusals(B backend) {
  Memory m;
  Lists l;
  const Matrix<const f16> x(m.x.data(), 4, 8);
  const Matrix<s8> q(m.q.data(), 4, 8), q_col(m.q_col.data(), 8, 4);
  const Vector<float> rows(m.row_scale.data(), 4), cols(m.col_scale.data(), 8);
  const auto quantize = [&](float threshold, CooList<f16> list, Vector<std::byte> workspace) {
    return refusal([&] {
      quantize_row_col<f16>(backend, x, threshold, OutlierMode::element, q, rows, q_col, cols, list,
                            workspace);
    });
  };
  const auto with = [&](auto change) {
    CooList<f16> list = l.coo();
    change(list);
    return quantize(6.0f, list, l.bytes());
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(quantize(0.0f, l.coo(), l.bytes()),
            "quantize_row_col: threshold is 0, but a positive number is needed");
  EXPECT_EQ(quantize(-1.5f, l.coo(), l.bytes()),
            "quantize_row_col: threshold is -1.5, but a positive number is needed");
  EXPECT_EQ(quantize(kNan, l.coo(), l.bytes()),
            "quantize_row_col: threshold is nan, but a positive number is needed");
  EXPECT_EQ(with([](auto& list) { list.rows = 5; }),
            "quantize_row_col: outliers.rows is 5 but must equal x.rows, 4");
  EXPECT_EQ(with([](auto& list) { list.cols = 7; }),
            "quantize_row_col: outliers.cols is 7 but must equal x.cols, 8");
  EXPECT_EQ(with([](auto& list) { list.cols = std::int64_t{1} << 31; }),
            "quantize_row_col: outliers is 4 x 2147483648, but its indices hold extents from 0 to "
            "2147483647");
  EXPECT_EQ(with([](auto& list) { list.capacity = -1; }),
            "quantize_row_col: outliers.row is 1 x -1, but extents cannot be negative");
  EXPECT_EQ(with([](auto& list) { list.col = nullptr; }),
            "quantize_row_col: outliers.col is null, but 1 x 16 elements were expected");
  EXPECT_EQ(with([](auto& list) { list.count = nullptr; }),
            "quantize_row_col: outliers.count is null, but 1 x 1 elements were expected");
  EXPECT_EQ(with([&](auto& list) { list.value = m.x.data() + 8; }),
            "quantize_row_col: outliers.value overlaps x, but an output needs memory of its own");
  EXPECT_EQ(with([](auto& list) { list.col = list.row; }),
            "quantize_row_col: outliers.col overlaps outliers.row, but an output needs memory of "
            "its own");
  const std::int64_t needed = quantize_row_col_workspace_bytes(4, 8);
  EXPECT_EQ(quantize(6.0f, l.coo(), l.bytes(needed - 1)),
            fmt::format("quantize_row_col: workspace has {} bytes, but {} are needed", needed - 1,
                        needed));
  EXPECT_EQ(quantize(6.0f, l.coo(), {nullptr, needed}),
            fmt::format("quantize_row_col: workspace is null, but 1 x {} elements were expected",
                        needed));
  EXPECT_EQ(quantize(6.0f, l.coo(), {l.workspace.data() + 16, needed}),
            fmt::format("quantize_row_col: workspace is at address {}, but a multiple of 256 is "
                        "needed",
                        fmt::ptr(l.workspace.data() + 16)));

  std::array<std::int64_t, 8> offsets{};
  EXPECT_EQ(refusal([&] {
              coo_to_csr<f16>(backend, l.coo(), {offsets.data(), 4});
            }),
            "coo_to_csr: row_offsets.length is 4 but must equal coo.rows + 1, 5");
  EXPECT_EQ(refusal([&] {
              coo_to_csr<f16>(backend, l.coo(), {nullptr, 5});
            }),
            "coo_to_csr: row_offsets is null, but 1 x 5 elements were expected");
  EXPECT_EQ(refusal([&] {
              coo_to_csr<f16>(backend, l.coo(), {&l.count, 5});
            }),
            "coo_to_csr: row_offsets overlaps coo.count, but an output needs memory of its own");

  CooList<f16> small = l.sorted();
  small.capacity = 15;
  EXPECT_EQ(
      refusal([&] { sort_by_column<f16>(backend, l.coo(), small, l.bytes()); }),
      "sort_by_column: by_column.capacity is 15, but at least by_row.capacity, 16, is needed");
  CooList<f16> wide = l.sorted();
  wide.cols = 9;
  EXPECT_EQ(refusal([&] { sort_by_column<f16>(backend, l.coo(), wide, l.bytes()); }),
            "sort_by_column: by_column.cols is 9 but must equal by_row.cols, 8");
  EXPECT_EQ(refusal([&] { sort_by_column<f16>(backend, l.coo(), l.coo(), l.bytes()); }),
            "sort_by_column: by_column.row overlaps by_row.row, but an output needs memory of its "
            "own");
  if (available(backend)) {
    const std::int64_t bytes = sort_by_column_workspace_bytes(backend, 16);
    EXPECT_EQ(refusal([&] { sort_by_column<f16>(backend, l.coo(), l.sorted(), l.bytes(1)); }),
              fmt::format("sort_by_column: workspace has 1 bytes, but {} are needed", bytes));
  }

  const Vector<const s32> columns(l.col.data(), 3);
  EXPECT_EQ(refusal([&] {
              extract_outliers<f16>(backend, x, columns, {m.x.data() + 32, 3, 3});
            }),
            "extract_outliers: out.rows is 3 but must equal w.rows, 4");
  EXPECT_EQ(refusal([&] {
              extract_outliers<f16>(backend, x, columns, {m.x.data() + 32, 4, 4});
            }),
            "extract_outliers: out.cols is 4 but must equal columns.length, 3");
  EXPECT_EQ(refusal([&] {
              extract_outliers<f16>(backend, x, columns, {m.x.data() + 31, 4, 3});
            }),
            "extract_outliers: out overlaps w, but an output needs memory of its own");
  EXPECT_EQ(refusal([&] {
              const Matrix<const s8, Col4_4R2_8C> w(m.q.data(), 4, 2, {4});
              extract_outliers<s8>(backend, w, columns, {m.q_col.data(), 4, 3});
            }),
            "extract_outliers: w in col4_4r2_8c has panels of 4 rows, but needs a multiple of 8 "
            "that holds 4");
}

TEST(Preconditions, EveryBackendRefusesWrongOutliers) {
  for_each_backend([](auto backend) { expect_outlier_refusals(backend); });
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
  EXPECT_EQ(
      refusal([&] {
        const Matrix<const s8> shorter(operands.data() + 128, 4, 16);
        gemm_s8(backend, made, x, shorter, Matrix<s32>(result.data(), 4, 4));
      }),
      "gemm: the plan was made for 4 x 8 x 16 of s8 to s32 (lda 16, ldb 16, ldd 8, layouts row "
      "row row, batch 1 by 0 0 0, bias false, alphas 0), but the operands pose 4 x 4 x 16 of s8 "
      "to s32 (lda 16, ldb 16, ldd 4, layouts row row row, batch 1 by 0 0 0, bias false, "
      "alphas 0)");

  // Batches.
  const auto plan_batch = [&](Batch<const s8> x, Batch<const s8> y, Batch<s32> z) {
    return refusal([&] { plan_gemm_s8(workspace, x, y, z); });
  };
  const Batch<const s8> two_a({a.data(), 2, 8}, 2, 16), two_b({b.data(), 4, 8}, 2, 32);
  EXPECT_EQ(plan_batch(two_a, two_b, {{d.data(), 2, 4}, 3, 8}),
            "gemm_s8: d.count is 3 but must equal a.count, 2");
  EXPECT_EQ(plan_batch(two_a, {{b.data(), 4, 8}, 1, 0}, {{d.data(), 2, 4}, 2, 8}),
            "gemm_s8: b.count is 1 but must equal a.count, 2");
  EXPECT_EQ(plan_batch(two_a, two_b, {{d.data(), 2, 4}, 2, 7}),
            "gemm_s8: d has stride 7 between its matrices, under which results of 2 x 4 overlap");
  EXPECT_EQ(plan_batch(two_a, two_b, {{d.data(), 2, 4, RowMajor{8}}, 2, 3}),
            "gemm_s8: d has stride 3 between its matrices, under which results of 2 x 4 overlap");
  EXPECT_EQ(plan_batch(two_a, two_b, {{d.data(), 2, 4, RowMajor{8}}, 2, 5}),
            "gemm_s8: d has stride 5 between its matrices, under which results of 2 x 4 overlap");
  EXPECT_EQ(plan_batch(two_a, two_b, {{d.data(), 2, 4}, 2, -8}),
            "gemm_s8: d has stride -8 between its matrices, but needs one of 0 or more");
  EXPECT_EQ(plan_batch({{a.data(), 2, 8}, -1, 16}, two_b, {{d.data(), 2, 4}, 2, 8}),
            "gemm_s8: a has -1 matrices, but a count cannot be negative");
  EXPECT_EQ(plan_batch(two_a, two_b, {{reinterpret_cast<s32*>(a.data() + 16), 2, 4}, 2, 8}),
            "gemm_s8: d overlaps a, but an output needs memory of its own");
  EXPECT_EQ(plan({a.data(), 4, 8, RowMajor{7}}, {b.data(), 4, 8}, {d.data(), 4, 4}),
            "gemm_s8: a has leading dimension 7, but a row of it takes 8");
  EXPECT_EQ(plan({a.data(), 2, 8}, {b.data(), 4, 8},
                 {reinterpret_cast<s32*>(reinterpret_cast<char*>(d.data()) + 2), 2, 4})
                .substr(0, 25),
            "gemm_s8: d is at address ");

  // s8 results.
  std::array<s8, 64> narrow{};
  std::array<float, 8> alpha{};
  const auto plan_narrow = [&](Vector<const float> scale, Matrix<s8> z) {
    const Matrix<const s8> x(a.data(), 4, 8), y(b.data(), 4, 8);
    return refusal([&] { plan_gemm_s8(workspace, x, y, scale, z); });
  };
  EXPECT_EQ(plan_narrow({alpha.data(), 3}, {narrow.data(), 4, 4}),
            "gemm_s8: alpha.length is 3 but must be 1 or equal a.rows, 4");
  EXPECT_EQ(plan_narrow({nullptr, 4}, {narrow.data(), 4, 4}),
            "gemm_s8: alpha is null, but 1 x 4 elements were expected");
  EXPECT_EQ(plan_narrow({alpha.data(), 4}, {reinterpret_cast<s8*>(alpha.data()), 4, 4}),
            "gemm_s8: d overlaps alpha, but an output needs memory of its own");

  // Tiled orders.
  std::array<s8, 1024> tiles{};
  std::array<s32, 128> tiled_d{};
  const auto plan_tiled = [&](Matrix<const s8, Col32> x, Matrix<const s8, Col32_2R_4R4> y) {
    const Matrix<s32, Col32> z(tiled_d.data(), 4, 4);
    return refusal([&] { plan_gemm_s8(workspace, x, y, z); });
  };
  EXPECT_EQ(plan_tiled({a.data(), 4, 8}, {tiles.data(), 4, 9}),
            "gemm_s8: b.cols is 9 but must equal a.cols, 8");
  EXPECT_EQ(
      plan_tiled({a.data(), 4, 8}, {tiles.data(), 4, 8, Col32_2R_4R4{8}}),
      "gemm_s8: b in col32_2r_4r4 has panels of 8 rows, but needs a multiple of 32 that holds "
      "4");
  EXPECT_EQ(plan_tiled({a.data(), 4, 8, Col32{3}}, {tiles.data(), 4, 8}),
            "gemm_s8: a in col32 has panels of 3 rows, but needs a multiple of 1 that holds 4");
  EXPECT_EQ(refusal([&] { library_multiplies(workspace, LayoutKind::col32); }),
            "library_multiplies: b lies in col32, but int8 products take it in row, col4_4r2_8c or "
            "col32_2r_4r4");

  // 16-bit results with a bias.
  std::array<f16, 64> x16{}, y16{}, d16{};
  const auto plan_bias = [&](Vector<const f16> bias) {
    const Matrix<const f16> m(x16.data(), 4, 8), n(y16.data(), 4, 8);
    const Matrix<f16> z(d16.data(), 4, 4);
    return refusal([&] { plan_gemm<f16>(workspace, m, n, z, bias); });
  };
  EXPECT_EQ(plan_bias({x16.data(), 5}), "gemm_f16: bias.length is 5 but must equal b.rows, 4");
  EXPECT_EQ(plan_bias({d16.data() + 8, 4}),
            "gemm_f16: d overlaps bias, but an output needs memory of its own");
}

template <class B>
void expect_scaled_product_refusals(B) {
  if (!available(B{})) {
    if (options().requires_backend(B::kName)) FAIL() << "no " << B::kName << " device answers";
    return;
  }
  const B backend = make_backend<B>();
  GemmWorkspace<B> workspace = make_gemm_workspace(backend);
  std::array<s8, 64> a{}, b{};
  std::array<float, 8> rows{}, cols{};
  std::array<f16, 64> out{}, bias{};
  struct Call {
    Matrix<const s8> a, b;
    Vector<const float> row_scale, col_scale;
    Vector<const f16> bias;
    Matrix<f16> out;
  };
  const Call right{{a.data(), 4, 8}, {b.data(), 6, 8}, {rows.data(), 4},
                   {cols.data(), 6}, {bias.data(), 6}, {out.data(), 4, 6}};
  const auto plan = [&](auto change) {
    Call c = right;
    change(c);
    return refusal([&] {
      plan_scaled_gemm<f16>(workspace, c.a, c.b, c.row_scale, c.col_scale, c.bias, c.out);
    });
  };
  EXPECT_EQ(plan([&](Call& c) {
              c.b = {b.data(), 6, 7};
            }),
            "scaled_gemm: b.cols is 7 but must equal a.cols, 8");
  EXPECT_EQ(plan([&](Call& c) {
              c.a = {a.data(), 1, 131072};
            }),
            "scaled_gemm: K is 131072, but int32 accumulators are exact only up to 131071");
  EXPECT_EQ(plan([&](Call& c) {
              c.a = {nullptr, 4, 8};
            }),
            "scaled_gemm: a is null, but 4 x 8 elements were expected");
  EXPECT_EQ(plan([&](Call& c) { c.row_scale.length = 5; }),
            "scaled_gemm: row_scale.length is 5 but must equal a.rows, 4");
  EXPECT_EQ(plan([&](Call& c) { c.col_scale.length = 5; }),
            "scaled_gemm: col_scale.length is 5 but must equal b.rows, 6");
  EXPECT_EQ(plan([&](Call& c) { c.bias.length = 5; }),
            "scaled_gemm: bias.length is 5 but must equal b.rows, 6");
  EXPECT_EQ(plan([&](Call& c) {
              c.out = {out.data(), 5, 6};
            }),
            "scaled_gemm: out.rows is 5 but must equal a.rows, 4");
  EXPECT_EQ(plan([&](Call& c) {
              c.out = {out.data(), 4, 5};
            }),
            "scaled_gemm: out.cols is 5 but must equal b.rows, 6");
  EXPECT_EQ(plan([&](Call& c) {
              c.bias = {out.data() + 8, 6};
            }),
            "scaled_gemm: out overlaps bias, but an output needs memory of its own");
  EXPECT_EQ(plan([&](Call& c) {
              c.out = {reinterpret_cast<f16*>(a.data()), 4, 6};
            }),
            "scaled_gemm: out overlaps a, but an output needs memory of its own");

  Buffer<B, s8> operands(backend, 256);
  Buffer<B, float> scales(backend, 16);
  Buffer<B, f16> result(backend, 64);
  const Matrix<const s8> x(operands.data(), 4, 16), y(operands.data() + 128, 8, 16);
  const Vector<const float> of_rows(scales.data(), 4), of_cols(scales.data() + 8, 8);
  const Matrix<f16> z(result.data(), 4, 8);
  const auto made = plan_scaled_gemm<f16>(workspace, x, y, of_rows, of_cols, {}, z);
  EXPECT_EQ(
      refusal([&] {
        const Vector<const f16> added(result.data() + 48, 8);
        scaled_gemm<f16>(backend, made, x, y, of_rows, of_cols, added, z);
      }),
      "scaled_gemm: the plan was made for 4 x 8 x 16 of s8 to f16 (lda 16, ldb 16, ldd 8, layouts "
      "row row row, batch 1 by 0 0 0, bias false, alphas 0), but the operands pose 4 x 8 x 16 of "
      "s8 to f16 (lda 16, ldb 16, ldd 8, layouts row row row, batch 1 by 0 0 0, bias true, "
      "alphas 0)");
  EXPECT_EQ(
      refusal([&] {
        scaled_gemm<f16>(backend, {made.problem, "", "", nullptr}, x, y, of_rows, of_cols, {}, z);
      }),
      "scaled_gemm: the plan is empty; make one with plan_scaled_gemm");
}

TEST(Preconditions, EveryBackendRefusesWrongScaledProducts) {
  for_each_backend([](auto backend) { expect_scaled_product_refusals(backend); });
}

/// Every field of a problem that can differ shows in its text: a pinned choice is found by it.
TEST(Preconditions, TextsOfDifferentProblemsDiffer) {
  const GemmProblem base;
  const auto differs = [&](auto change) {
    GemmProblem other = base;
    change(other);
    EXPECT_FALSE(other == base);
    EXPECT_NE(to_text(other), to_text(base));
  };
  EXPECT_EQ(to_text(base), to_text(GemmProblem{}));
  for (const auto member :
       {&GemmProblem::m, &GemmProblem::n, &GemmProblem::k, &GemmProblem::lda, &GemmProblem::ldb,
        &GemmProblem::ldd, &GemmProblem::batch, &GemmProblem::a_stride, &GemmProblem::b_stride,
        &GemmProblem::d_stride, &GemmProblem::alphas}) {
    differs([&](GemmProblem& p) { p.*member = 77; });
  }
  for (const auto member :
       {&GemmProblem::a_layout, &GemmProblem::b_layout, &GemmProblem::d_layout}) {
    differs([&](GemmProblem& p) { p.*member = LayoutKind::col32; });
  }
  differs([](GemmProblem& p) { p.operand = DType::f16; });
  differs([](GemmProblem& p) { p.result = DType::s8; });
  differs([](GemmProblem& p) { p.bias = true; });
}

/// Whether each of the first `outputs` operands must have memory of its own: it is laid over every
/// other operand in turn. call(pointers) makes the call, of operands of up to 512 bytes.
template <class Call>
void expect_outputs_apart(const std::string& op, const std::vector<std::string>& names,
                          std::size_t outputs, const Call& call) {
  constexpr std::size_t kSlot = 512;
  const Buffer<Cpu, std::byte> memory(Cpu{}, static_cast<std::int64_t>(kSlot * names.size()));
  for (std::size_t i = 0; i < outputs; ++i) {
    for (std::size_t j = 0; j < names.size(); ++j) {
      if (i == j) continue;
      std::vector<void*> at;
      for (std::size_t n = 0; n < names.size(); ++n) {
        at.push_back(memory.data() + kSlot * (n == j ? i : n));
      }
      const std::string said = refusal([&] { call(at); });
      const std::string end = ", but an output needs memory of its own";
      const std::string one = op + ": " + names[i] + " overlaps " + names[j] + end,
                        other = op + ": " + names[j] + " overlaps " + names[i] + end;
      EXPECT_TRUE(said == one || said == other) << said << "\nexpected " << one;
    }
  }
}

template <class T>
Vector<T> vector_at(void* at, std::int64_t length) {
  return {static_cast<T*>(at), length};
}
template <class T>
Matrix<T> matrix_at(void* at, std::int64_t rows, std::int64_t cols) {
  return {static_cast<T*>(at), rows, cols};
}

template <class B>
void expect_disjoint_outputs(B backend) {
  using At = const std::vector<void*>&;
  expect_outputs_apart("quantize_rowwise", {"q", "row_scale", "x"}, 2, [&](At at) {
    quantize_rowwise<f16>(backend, matrix_at<const f16>(at[2], 4, 8), matrix_at<s8>(at[0], 4, 8),
                          vector_at<float>(at[1], 4));
  });
  expect_outputs_apart("quantize_colwise", {"q_col", "col_scale", "x"}, 2, [&](At at) {
    quantize_colwise<f16>(backend, matrix_at<const f16>(at[2], 4, 8), matrix_at<s8>(at[0], 8, 4),
                          vector_at<float>(at[1], 8));
  });
  expect_outputs_apart(
      "quantize_row_col", {"q_row", "row_scale", "q_col", "col_scale", "x"}, 4, [&](At at) {
        quantize_row_col<f16>(backend, matrix_at<const f16>(at[4], 4, 8),
                              matrix_at<s8>(at[0], 4, 8), vector_at<float>(at[1], 4),
                              matrix_at<s8>(at[2], 8, 4), vector_at<float>(at[3], 8));
      });
  expect_outputs_apart(
      "dequantize", {"out", "acc", "row_scale", "col_scale", "bias"}, 1, [&](At at) {
        dequantize<f16>(backend, matrix_at<const s32>(at[1], 4, 8),
                        vector_at<const float>(at[2], 4), vector_at<const float>(at[3], 8),
                        vector_at<const f16>(at[4], 8), matrix_at<f16>(at[0], 4, 8));
      });
  expect_outputs_apart("dequantize_rowwise", {"out", "q", "row_scale"}, 1, [&](At at) {
    dequantize_rowwise<f16>(backend, matrix_at<const s8>(at[1], 4, 8),
                            vector_at<const float>(at[2], 4), matrix_at<f16>(at[0], 4, 8));
  });
  expect_outputs_apart("column_sum", {"sum", "x"}, 1, [&](At at) {
    column_sum<f16>(backend, matrix_at<const f16>(at[1], 4, 8), vector_at<f16>(at[0], 8));
  });
  const auto list_at = [](At at, std::size_t first) {
    return CooList<f16>{static_cast<s32*>(at[first]),
                        static_cast<s32*>(at[first + 1]),
                        static_cast<f16*>(at[first + 2]),
                        8,
                        static_cast<std::int64_t*>(at[first + 3]),
                        4,
                        8};
  };
  expect_outputs_apart(
      "spmm_coo", {"out", "coo.row", "coo.col", "coo.value", "coo.count", "w", "w_scale"}, 1,
      [&](At at) {
        spmm_coo<f16>(backend, list_at(at, 1), matrix_at<const s8>(at[5], 6, 8),
                      vector_at<const float>(at[6], 6), matrix_at<f16>(at[0], 4, 6));
      });
  expect_outputs_apart(
      "spmm_coo", {"out", "coo.row", "coo.col", "coo.value", "coo.count", "w"}, 1, [&](At at) {
        spmm_coo<f16>(backend, list_at(at, 1), Operand<f16>(matrix_at<const f16>(at[5], 6, 8)),
                      matrix_at<f16>(at[0], 4, 6));
      });
  expect_outputs_apart(
      "spmm_coo_transposed",
      {"out", "by_column.row", "by_column.col", "by_column.value", "by_column.count", "x"}, 1,
      [&](At at) {
        spmm_coo_transposed<f16>(backend, matrix_at<const f16>(at[5], 4, 6), list_at(at, 1),
                                 matrix_at<f16>(at[0], 6, 8));
      });
  expect_outputs_apart("coo_to_csr", {"row_offsets", "coo.row", "coo.count"}, 1, [&](At at) {
    std::array<s32, 8> col{};
    std::array<f16, 8> value{};
    const CooList<f16> coo{static_cast<s32*>(at[1]),
                           col.data(),
                           value.data(),
                           8,
                           static_cast<std::int64_t*>(at[2]),
                           4,
                           8};
    coo_to_csr<f16>(backend, coo, vector_at<std::int64_t>(at[0], 5));
  });
  expect_outputs_apart("extract_outliers", {"out", "w", "columns"}, 1, [&](At at) {
    extract_outliers<f16, RowMajor>(backend, matrix_at<const f16>(at[1], 4, 8),
                                    vector_at<const s32>(at[2], 3), matrix_at<f16>(at[0], 4, 3));
  });
}

TEST(Preconditions, EveryOutputNeedsMemoryOfItsOwn) {
  for_each_backend([](auto backend) { expect_disjoint_outputs(backend); });
  using At = const std::vector<void*>&;
  GemmWorkspace<Cpu> workspace = make_gemm_workspace(Cpu{});
  expect_outputs_apart("gemm_s8", {"d", "a", "b", "alpha"}, 1, [&](At at) {
    plan_gemm_s8(workspace, matrix_at<const s8>(at[1], 4, 8), matrix_at<const s8>(at[2], 6, 8),
                 vector_at<const float>(at[3], 4), matrix_at<s8>(at[0], 4, 6));
  });
  expect_outputs_apart("gemm_f16", {"d", "a", "b", "bias"}, 1, [&](At at) {
    plan_gemm<f16>(workspace, matrix_at<const f16>(at[1], 4, 8), matrix_at<const f16>(at[2], 6, 8),
                   Batch<f16>(matrix_at<f16>(at[0], 4, 6), 1, 0), vector_at<const f16>(at[3], 6));
  });
  expect_outputs_apart(
      "scaled_gemm", {"out", "a", "b", "row_scale", "col_scale", "bias"}, 1, [&](At at) {
        plan_scaled_gemm<f16>(workspace, matrix_at<const s8>(at[1], 4, 8),
                              matrix_at<const s8>(at[2], 6, 8), vector_at<const float>(at[3], 4),
                              vector_at<const float>(at[4], 6), vector_at<const f16>(at[5], 6),
                              matrix_at<f16>(at[0], 4, 6));
      });
}

/// The next line is never reached: where there is one alone, its leading dimension may be anything.
TEST(Preconditions, OneLineTakesAnyLeadingDimension) {
  const std::array<s8, 8> x = {1, 2, 3, 4, 5, 6, 7, 8};
  std::array<s8, 8> y{}, z{};
  transform(Cpu{}, Matrix<const s8>(x.data(), 1, 8, RowMajor{3}),
            Matrix<s8>(y.data(), 1, 8, RowMajor{0}));
  EXPECT_EQ(y, x);
  transform(Cpu{}, Matrix<const s8, ColMajor>(x.data(), 8, 1, ColMajor{3}),
            Matrix<s8, ColMajor>(z.data(), 8, 1, ColMajor{0}));
  EXPECT_EQ(z, x);
  // A row of a column-major matrix is eight lines.
  EXPECT_EQ(refusal([&] {
              transform(Cpu{}, Matrix<const s8, ColMajor>(x.data(), 1, 8, ColMajor{0}),
                        Matrix<s8>(y.data(), 1, 8));
            }),
            "transform: x has leading dimension 0, but a column of it takes 1");
}

/// Results without rows cannot overlap, whatever their strides say.
TEST(Preconditions, BatchesOfNothingAreTaken) {
  const std::array<s8, 6> b{};
  const Batch<const s8> a({nullptr, 0, 3, RowMajor{0}}, 2, 0), of_b({b.data(), 2, 3}, 2, 0);
  const Batch<s32> d({nullptr, 0, 2, RowMajor{0}}, 2, 0);
  GemmWorkspace<Cpu> workspace = make_gemm_workspace(Cpu{});
  EXPECT_NO_THROW(gemm_s8(Cpu{}, plan_gemm_s8(workspace, a, of_b, d), a, of_b, d));
}

TEST(Preconditions, EveryBackendRefusesWrongProducts) {
  for_each_backend([](auto backend) { expect_product_refusals(backend); });
}

}  // namespace
}  // namespace octet::harness
