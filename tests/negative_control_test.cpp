// What the harness is for: broken kernels, put in the slot for the implementation, must be
// reported, each by the check that is meant to find it. Runs on every backend of the build.
#include <gtest/gtest.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "harness/negative_control.hpp"
#include "harness/operators/column_sum.hpp"
#include "harness/operators/dequantize.hpp"
#include "harness/operators/gemm.hpp"
#include "harness/operators/gemm_batched.hpp"
#include "harness/operators/gemm_tiled.hpp"
#include "harness/operators/gemm_to_s8.hpp"
#include "harness/operators/outliers.hpp"
#include "harness/operators/quantize.hpp"
#include "harness/operators/spmm.hpp"
#include "harness/operators/transform.hpp"
#include "harness/run_case.hpp"
#include "harness/step_case.hpp"
#include "harness/suite.hpp"
#include "harness/test_run.hpp"

namespace octet::harness {
namespace {

/// Overwrites one element, as a host store would.
template <class B, class T>
void overwrite(B backend, T* element, T value) {
  if constexpr (std::is_same_v<B, Cpu>) {
    *element = value;
  } else {
    // A fill is captured in graphs where a copy from the host is not.
    static_assert(std::is_same_v<B, Cuda>);
    unsigned char byte;
    std::memcpy(&byte, &value, 1);
    fill(backend, element, byte, sizeof(T));
  }
}

// ---- implementations: the right one, and what goes wrong in practice ----

struct Right {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q_row, Vector<float> row_scale,
                  Matrix<s8> q_col, Vector<float> col_scale) {
    quantize_row_col<f16>(backend, x, q_row, row_scale, q_col, col_scale);
  }
};

/// Rows get the columns' scale statistic where both exist.
struct SwappedScales {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q_row, Vector<float> row_scale,
                  Matrix<s8> q_col, Vector<float> col_scale) {
    quantize_row_col<f16>(backend, x, q_row, row_scale, q_col, col_scale);
    copy(backend, row_scale.data, col_scale.data,
         static_cast<std::size_t>(row_scale.length) * sizeof(float));
  }
};

/// To nearest, whatever was asked for.
struct RoundsToNearest {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, StochasticRounding, Matrix<s8> q,
                  Vector<float> row_scale) {
    quantize_rowwise<f16>(backend, x, q, row_scale);
  }
};

/// Every row draws the words of the first one.
struct SameWordsInEveryRow {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, StochasticRounding rounding, Matrix<s8> q,
                  Vector<float> row_scale) {
    for (std::int64_t i = 0; i < x.rows; ++i) {
      quantize_rowwise<f16>(backend, {&x(i, 0), 1, x.cols}, rounding, {&q(i, 0), 1, x.cols},
                            {&row_scale(i), 1});
    }
  }
};

/// The words of another offset, or of an offset that lost its upper half.
template <std::uint64_t kKept, std::uint64_t kAdded>
struct OtherOffset {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, StochasticRounding rounding, Matrix<s8> q_row,
                  Vector<float> row_scale, Matrix<s8> q_col, Vector<float> col_scale) {
    rounding.offset = (rounding.offset & kKept) + kAdded;
    quantize_row_col<f16>(backend, x, rounding, q_row, row_scale, q_col, col_scale);
  }
};

struct WritesBeforeItsOutput {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> row_scale) {
    quantize_rowwise<f16>(backend, x, q, row_scale);
    overwrite(backend, q.data - 1, s8{3});
  }
};

struct WritesIntoThePadding {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> row_scale) {
    quantize_rowwise<f16>(backend, x, q, row_scale);
    overwrite(backend, &q(40, 0) + q.cols, s8{3});
  }
};

struct ChangesItsInput {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> row_scale) {
    // Zeroes an element before it is quantized, so that the result fits the changed input.
    fill(backend, const_cast<f16*>(&x(3, 5)), 0, sizeof(f16));
    quantize_rowwise<f16>(backend, x, q, row_scale);
  }
};

/// Right when it is first called, and never again: a stale flag, a cached result.
struct WritesOnlyOnce {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> row_scale) {
    if (!done) quantize_rowwise<f16>(backend, x, q, row_scale);
    done = true;
  }
  bool done = false;
};

/// A slice of K is left out.
struct DroppedSlice {
  template <class B>
  void operator()(B backend, Matrix<const s8> a, Matrix<const s8> b, Matrix<s32> d) {
    a.cols -= 32;
    b.cols -= 32;
    product(backend, a, b, d);
  }
  PlannedGemmS8 product;
};

/// b is read as if it lay in the order of another compute capability.
struct OtherOrderOfB {
  template <class B>
  void operator()(B backend, Matrix<const s8, Col32> a, Matrix<const s8, Col32_2R_4R4> b,
                  Matrix<s32, Col32> d) {
    const Matrix<const s8, Col4_4R2_8C> other(b.data, b.rows, b.cols, {b.layout.padded_rows});
    product(backend, a, other, d);
  }
  PlannedGemmS8 product;
};

/// What pads the last panel of d is left as it was.
struct UnwrittenPadding {
  template <class B>
  void operator()(B backend, Matrix<const s8, Col32> a, Matrix<const s8, Col32_2R_4R4> b,
                  Matrix<s32, Col32> d) {
    product(backend, a, b, d);
    overwrite(backend, &d(5, d.cols - 1) + 1, s32{0x01010101});
  }
  PlannedGemmS8 product;
};

/// Every product of the batch reads the first b.
struct StrideOfZero {
  template <class B>
  void operator()(B backend, Batch<const s8> a, Batch<const s8> b, Batch<s32> d) {
    b.stride = 0;
    product(backend, a, b, d);
  }
  PlannedGemmS8 product;
};

struct DroppedBias {
  template <class B>
  void operator()(B backend, Operand<f16> a, Operand<f16> b, Matrix<f16> d, Vector<const f16>) {
    product(backend, a, b, d);
  }
  PlannedGemm product;
};

/// Rows get the scales of the columns and the other way round.
struct SwappedScalesOfProduct {
  template <class B>
  void operator()(B backend, Matrix<const s8> a, Matrix<const s8> b, Vector<const float> row_scale,
                  Vector<const float> col_scale, Vector<const f16> bias, Matrix<f16> out) {
    product(backend, a, b, col_scale, row_scale, bias, out);
  }
  PlannedScaledGemm product;
};

struct DroppedBiasOfScaled {
  template <class B>
  void operator()(B backend, Matrix<const s8> a, Matrix<const s8> b, Vector<const float> row_scale,
                  Vector<const float> col_scale, Vector<const f16>, Matrix<f16> out) {
    product(backend, a, b, row_scale, col_scale, Vector<const f16>{}, out);
  }
  PlannedScaledGemm product;
};

/// Column j is scaled by alpha[j].
struct AlphaPerColumn {
  template <class B>
  void operator()(B backend, Matrix<const s8> a, Matrix<const s8> b, Vector<const float> alpha,
                  Matrix<s8> d) {
    Buffer<B, s8> one(backend, d.rows);
    for (std::int64_t j = 0; j < d.cols; ++j) {
      PlannedGemmS8 product;
      const Matrix<const s8> row_of_b(&b(j, 0), 1, b.cols);
      product(backend, row_of_b, a, Vector<const float>(alpha.data + j, 1),
              Matrix<s8>(one.data(), 1, d.rows));
      for (std::int64_t i = 0; i < d.rows; ++i) copy(backend, &d(i, j), one.data() + i, 1);
    }
    synchronize(backend);
  }
};

/// Scales of rows and columns change places.
struct TransposedScales {
  template <class B>
  void operator()(B backend, Matrix<const s32> acc, Vector<const float> row_scale,
                  Vector<const float> col_scale, Vector<const f16> bias, Matrix<f16> out) {
    col_scale.length = row_scale.length;
    acc.cols = out.cols = std::min(acc.cols, row_scale.length);
    bias.length = 0;
    acc.rows = out.rows = acc.cols;
    dequantize<f16>(backend, acc, col_scale, row_scale, bias, out);
  }
};

template <class B, class T>
using RowToCol32 = Transform<B, T, RowMajor, Col32>;
template <class B, class T>
using RowToAmpere = Transform<B, T, RowMajor, Col32_2R_4R4>;
template <class B, class T>
using ColToCol32 = Transform<B, T, ColMajor, Col32>;

/// Rows in their own order, where the layout permutes them.
struct UnpermutedRows {
  template <class B>
  void operator()(B backend, Matrix<const s8> x, Matrix<s8, Col32_2R_4R4> y) {
    transform(backend, x, Matrix<s8, Col32>(y.data, y.rows, y.cols, Col32{y.layout.padded_rows}));
  }
};

/// Something else than zero is left in the padding of the last panel.
struct SpoiledPadding {
  template <class B>
  void operator()(B backend, Matrix<const s8> x, Matrix<s8, Col32> y) {
    transform(backend, x, y);
    overwrite(backend, &y(0, y.cols - 1) + 1, s8{7});
  }
};

/// One panel is never written.
struct UnwrittenPanel {
  template <class B>
  void operator()(B backend, Matrix<const s8> x, Matrix<s8, Col32> y) {
    x.cols = y.cols = (x.cols - 1) / 32 * 32;
    transform(backend, x, y);
  }
};

/// The leading dimension of x is taken for packed.
struct IgnoredStride {
  template <class B>
  void operator()(B backend, Matrix<const s8, ColMajor> x, Matrix<s8, Col32> y) {
    x.layout.ld = x.rows;
    transform(backend, x, y);
  }
};

/// Matrices of a batch are taken to follow each other without a gap.
struct IgnoredBatchStride {
  template <class B>
  void operator()(B backend, Batch<const f16> x, Matrix<f16> y) {
    x.stride = x.first.rows * x.first.layout.ld;
    flatten(backend, x, y);
  }
};

Problem small_outliers() {
  Problem p = small_matrix();
  p.threshold = 2.5f;
  p.list_room = 4;
  return p;
}

/// quantize_row_col with a threshold, after which Fault::operator() spoils something.
template <class Fault>
struct Spoiled {
  template <class B, class... Outputs>
  void operator()(B backend, Matrix<const f16> x, float threshold, OutlierMode mode,
                  Outputs... outputs) {
    quantize_row_col<f16>(backend, x, Fault::threshold(threshold), mode, outputs...);
    Fault{}(backend, outputs...);
  }
};
struct NoFault {
  static float threshold(float threshold) { return threshold; }
  template <class B, class... Outputs>
  void operator()(B, const Outputs&...) {}
};

/// Elements exactly at the threshold would stay; here all of a margin do.
struct HigherThreshold : NoFault {
  static float threshold(float threshold) { return threshold * 1.5f; }
};
/// A list in another order: its first two entries change places, as racing blocks would leave them.
struct UnsortedList : NoFault {
  template <class B>
  void operator()(B backend, Matrix<s8>, Vector<float>, Matrix<s8>, Vector<float>,
                  const CooList<f16>& list, Vector<std::byte>) {
    copy(backend, list.col + 1, list.col, sizeof(s32));
  }
};
/// An outlier that stays in the int8 part too counts twice.
struct OutlierInBothParts : NoFault {
  template <class B>
  void operator()(B backend, Matrix<s8> q_row, Vector<float>, Matrix<s8>, Vector<float>,
                  const CooList<f16>&, Vector<std::byte>) {
    fill(backend, q_row.data, 127, static_cast<std::size_t>(q_row.cols));
  }
};
/// Overflow that the count does not tell.
struct CountOfWhatFits {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, float threshold, OutlierMode mode,
                  Matrix<s8> q_row, Vector<float> row_scale, Matrix<s8> q_col,
                  Vector<float> col_scale, CooList<f16> list, Vector<std::byte> workspace) {
    quantize_row_col<f16>(backend, x, threshold, mode, q_row, row_scale, q_col, col_scale, list,
                          workspace);
    fill(backend, list.count, 0, sizeof(std::int64_t));
  }
};
/// Written although there is no room for it.
struct WritesBeyondCapacity : NoFault {
  template <class B>
  void operator()(B backend, Matrix<s8>, Vector<float>, Matrix<s8>, Vector<float>,
                  const CooList<f16>& list, Vector<std::byte>) {
    fill(backend, list.row + list.capacity, 1, sizeof(s32));
  }
};

/// Columns' statistic of all rows but the last.
struct ShortColumns {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q_col, Vector<float> col_scale) {
    x.rows -= 1;
    q_col.cols -= 1;
    quantize_colwise<f16>(backend, x, q_col, col_scale);
  }
};

/// A row's end is taken for the next row's beginning.
struct ShiftedOffsets {
  template <class B>
  void operator()(B backend, const CooList<f16>& coo, Vector<std::int64_t> row_offsets) {
    coo_to_csr(backend, coo, row_offsets);
    copy(backend, row_offsets.data, row_offsets.data + 1, sizeof(std::int64_t));
  }
};
/// A list by row, passed on as it is.
struct UnsortedColumns {
  template <class B>
  void operator()(B backend, const CooList<f16>& by_row, const CooList<f16>& by_column,
                  Vector<std::byte>) {
    const auto bytes = [&](std::size_t size) {
      return static_cast<std::size_t>(by_row.capacity) * size;
    };
    copy(backend, by_column.row, by_row.row, bytes(sizeof(s32)));
    copy(backend, by_column.col, by_row.col, bytes(sizeof(s32)));
    copy(backend, by_column.value, by_row.value, bytes(sizeof(f16)));
    copy(backend, by_column.count, by_row.count, sizeof(std::int64_t));
  }
};
/// The layout of another compute capability.
struct WrongLayout {
  template <class B>
  void operator()(B backend, Matrix<const s8, Col4_4R2_8C> w, Vector<const s32> columns,
                  Matrix<s8> out) {
    const Matrix<const s8, Col32> other(w.data, w.rows, w.cols, Col32{w.rows});
    extract_outliers<s8>(backend, other, columns, out);
  }
};

/// Panels of Col32 taken for rows of the packed matrix.
struct PanelsReadAsRows {
  template <class B>
  void operator()(B backend, Matrix<const s32, Col32> acc, Vector<const float> row_scale,
                  Vector<const float> col_scale, Vector<const f16> bias, Matrix<f16> out) {
    dequantize<f16>(backend, Matrix<const s32>(acc.data, acc.rows, acc.cols), row_scale, col_scale,
                    bias, out);
  }
};

/// Each row gets the scale of the row before it.
struct ScalesOneRowLate {
  template <class B>
  void operator()(B backend, Matrix<const s8> q, Vector<const float> row_scale, Matrix<f16> out) {
    dequantize_rowwise<f16>(backend, q, row_scale, out);
    dequantize_rowwise<f16>(backend, {&q(1, 0), q.rows - 1, q.cols, q.layout},
                            {row_scale.data, q.rows - 1},
                            {&out(1, 0), q.rows - 1, q.cols, out.layout});
  }
};

/// The last row is left out.
struct DroppedRow {
  template <class B>
  void operator()(B backend, Matrix<const f32> x, Vector<f32> sum) {
    x.rows -= 1;
    column_sum<f32>(backend, x, sum);
  }
};

/// Right in its first launch alone, which only the sum of all launches shows.
struct AddsOnlyOnce {
  template <class B>
  void operator()(B backend, CooList<f16> coo, Operand<f16> w, Matrix<f16> out) {
    if (!done) spmm_coo<f16>(backend, coo, w, out);
    done = true;
  }
  bool done = false;
};

/// Outliers are dropped.
struct DroppedOutliers {
  template <class B>
  void operator()(B, CooList<f16>, Operand<f16>, Matrix<f16>) {}
};

/// Half of the columns get no outlier part.
struct HalfOfTheWeights {
  template <class B>
  void operator()(B backend, CooList<f16> coo, Operand<f16> w, Matrix<f16> out) {
    w.rows /= 2;
    out.cols /= 2;
    spmm_coo<f16>(backend, coo, w, out);
  }
};

/// A list that has overflowed is used as far as it goes.
struct OverflowUnnoticed {
  template <class B>
  void operator()(B, CooList<f16>, Operand<f16>, Matrix<f16>) {}
};

/// The scales of int8 weights are read one place on.
struct WeightScalesShifted {
  template <class B>
  void operator()(B backend, CooList<f16> coo, Matrix<const s8> w, Vector<const float> w_scale,
                  Matrix<f16> out) {
    w.rows = out.cols = w_scale.length = w.rows - 1;
    ++w_scale.data;
    spmm_coo<f16>(backend, coo, w, w_scale, out);
  }
};

/// The leading dimension is ignored.
struct IgnoredOperandStride {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, CooList<f16> by_column, Matrix<f16> out) {
    x.layout.ld = x.cols;
    spmm_coo_transposed<f16>(backend, x, by_column, out);
  }
};

Problem small_list_product(Entries entries) {
  Problem p = small_product();
  p.entries = entries;
  return p;
}

TEST(NegativeControl, RightKernelPasses) {
  expect_verdict<QuantizeRowCol, f16, Right>(small_matrix(), Depth::check_and_time, "PASSED", "");
}
TEST(NegativeControl, SwappedScalesAreReported) {
  expect_verdict<QuantizeRowCol, f16, SwappedScales>(small_matrix(), Depth::check, "FAILED",
                                                     "row_scale: ");
}
TEST(NegativeControl, UnwrittenTailIsReported) {
  expect_verdict<QuantizeRowwise, f16, UnwrittenTail>(small_matrix(), Depth::check, "FAILED",
                                                      "the whole row 128");
}
TEST(NegativeControl, OneWrongRowIsReported) {
  expect_verdict<QuantizeRowwise, f16, OneWrongRow>(small_matrix(), Depth::check, "FAILED",
                                                    "in rows 77 to 77");
}
TEST(NegativeControl, WriteBeforeAnOutputIsReported) {
  expect_verdict<QuantizeRowwise, f16, WritesBeforeItsOutput>(
      small_matrix(), Depth::check, "FAILED", "1 bytes before q_row were overwritten");
}
TEST(NegativeControl, WriteIntoThePaddingIsReported) {
  expect_verdict<QuantizeRowwise, f16, WritesIntoThePadding>(
      small_matrix(), Depth::check, "FAILED", "the padding after row 40 of q_row was overwritten");
}
TEST(NegativeControl, ChangedInputIsReported) {
  expect_verdict<QuantizeRowwise, f16, ChangesItsInput>(small_matrix(), Depth::check, "FAILED",
                                                        "the input x was changed");
}
TEST(NegativeControl, FaultAfterTheFirstCallIsReported) {
  expect_verdict<QuantizeRowwise, f16, WritesOnlyOnce>(small_matrix(), Depth::check, "PASSED", "");
  expect_verdict<QuantizeRowwise, f16, WritesOnlyOnce>(small_matrix(), Depth::check_and_time,
                                                       "FAILED", "elements differ");
}
TEST(NegativeControl, RoundingToNearestIsReported) {
  expect_verdict<QuantizeRowwiseStochastic, f16, RoundsToNearest>(small_matrix(), Depth::check,
                                                                  "FAILED", "q: ");
}
TEST(NegativeControl, SameRandomWordsInEveryRowAreReported) {
  expect_verdict<QuantizeRowwiseStochastic, f16, SameWordsInEveryRow>(small_matrix(), Depth::check,
                                                                      "FAILED", "in rows 1 to 128");
}
TEST(NegativeControl, WrongOffsetIsReported) {
  expect_verdict<QuantizeRowColStochastic, f16, OtherOffset<~0ull, 0>>(
      small_matrix(), Depth::check_and_time, "PASSED", "");
  expect_verdict<QuantizeRowColStochastic, f16, OtherOffset<~0ull, 1>>(small_matrix(), Depth::check,
                                                                       "FAILED", "q_row: ");
  expect_verdict<QuantizeRowColStochastic, f16, OtherOffset<0xffffffffull, 0>>(
      small_matrix(), Depth::check, "FAILED", "q_col: ");
}
TEST(NegativeControl, DroppedSliceOfKIsReported) {
  expect_verdict<GemmS8, s8, DroppedSlice>(small_product(), Depth::check, "FAILED",
                                           "elements differ");
}
TEST(NegativeControl, TiledProductInAnotherOrderIsReported) {
  Problem p = small_product();
  p.ld_padding = 0;
  expect_verdict<GemmS8ColAmpere, s8, PlannedGemmS8>(p, Depth::check_and_time, "PASSED", "");
  expect_verdict<GemmS8ColAmpere, s8, OtherOrderOfB>(p, Depth::check, "FAILED", "elements differ");
}
TEST(NegativeControl, UnwrittenPaddingOfATiledProductIsReported) {
  expect_verdict<GemmS8ColAmpere, s8, UnwrittenPadding>(small_product(), Depth::check, "FAILED",
                                                        "d's padding: 1 of ");
}
TEST(NegativeControl, BatchOfStrideZeroIsReported) {
  Problem p = small_product();
  p.matrices = 3;
  expect_verdict<GemmS8Batched, s8, PlannedGemmS8>(p, Depth::check_and_time, "PASSED", "");
  expect_verdict<GemmS8Batched, s8, StrideOfZero>(p, Depth::check, "FAILED", "matrix 1: ");
}
TEST(NegativeControl, DroppedBiasIsReported) {
  Problem p = small_product();
  p.bias = true;
  expect_verdict<GemmBias, f16, DroppedBias>(p, Depth::check, "FAILED", "out: ");
}
TEST(NegativeControl, SwappedScalesOfAProductAreReported) {
  Problem p = small_product();
  p.m = p.n = 100;
  expect_verdict<ScaledGemm, f16, PlannedScaledGemm>(p, Depth::check_and_time, "PASSED", "");
  expect_verdict<ScaledGemm, f16, SwappedScalesOfProduct>(p, Depth::check, "FAILED",
                                                          "elements differ");
}
TEST(NegativeControl, DroppedBiasOfAScaledProductIsReported) {
  Problem p = small_product();
  p.bias = true;
  expect_verdict<ScaledGemm, f16, DroppedBiasOfScaled>(p, Depth::check, "FAILED",
                                                       "elements differ");
}
TEST(NegativeControl, AlphaPerColumnIsReported) {
  Problem p = small_product();
  p.m = p.n = 100;
  expect_verdict<GemmToS8RowAlphas, s8, PlannedGemmS8>(p, Depth::check_and_time, "PASSED", "");
  expect_verdict<GemmToS8RowAlphas, s8, AlphaPerColumn>(p, Depth::check, "FAILED",
                                                        "elements differ");
}
TEST(NegativeControl, TransposedScalesAreReported) {
  expect_verdict<Dequantize, f16, TransposedScales>(small_matrix(), Depth::check, "FAILED",
                                                    "elements differ");
}
TEST(NegativeControl, PanelsReadAsRowsAreReported) {
  expect_verdict<DequantizeCol32, f16, PanelsReadAsRows>(small_matrix(), Depth::check, "FAILED",
                                                         "elements differ");
}
TEST(NegativeControl, ScalesOneRowLateAreReported) {
  expect_verdict<DequantizeRowwise, f16, ScalesOneRowLate>(small_matrix(), Depth::check, "FAILED",
                                                           "in rows 1 to 128");
}
TEST(NegativeControl, DroppedRowOfASumIsReported) {
  expect_verdict<ColumnSum, f32, DroppedRow>(small_matrix(), Depth::check, "FAILED",
                                             "elements differ");
}
TEST(NegativeControl, DroppedOutliersAreReported) {
  expect_verdict<SpmmCoo, f16, DroppedOutliers>(small_list_product(Entries::scattered),
                                                Depth::check, "FAILED", "elements differ");
}
TEST(NegativeControl, AdditionsThatStopAreReported) {
  expect_verdict<SpmmCoo, f16, AddsOnlyOnce>(small_list_product(Entries::columns), Depth::check,
                                             "PASSED", "");
  expect_verdict<SpmmCoo, f16, AddsOnlyOnce>(small_list_product(Entries::columns),
                                             Depth::check_and_time, "FAILED", "out: ");
}
TEST(NegativeControl, RightAdditionsPass) {
  expect_verdict<SpmmCoo, f16, decltype(OCTET_FN(spmm_coo))>(small_list_product(Entries::columns),
                                                             Depth::check_and_time, "PASSED", "");
}
TEST(NegativeControl, HalfOfTheWeightsIsReported) {
  expect_verdict<SpmmCooColMajor, f16, HalfOfTheWeights>(
      small_list_product(Entries::scattered), Depth::check, "FAILED", "columns 100 to 199");
}
TEST(NegativeControl, OverflowUnnoticedIsReported) {
  expect_verdict<SpmmCoo, f16, OverflowUnnoticed>(small_list_product(Entries::overflow),
                                                  Depth::check, "FAILED", "elements differ");
}
TEST(NegativeControl, ShiftedWeightScalesAreReported) {
  expect_verdict<SpmmCooS8, f16, WeightScalesShifted>(small_list_product(Entries::scattered),
                                                      Depth::check, "FAILED", "elements differ");
}
TEST(NegativeControl, IgnoredOperandStrideIsReported) {
  expect_verdict<SpmmCooTransposed, f16, IgnoredOperandStride>(
      small_list_product(Entries::scattered), Depth::check, "FAILED", "elements differ");
}

/// What timed launches leave behind on a device, which nobody counts: every element has to be the
/// same number of additions from where it began.
TEST(NegativeControl, UncountedAdditionsHaveToAgree) {
  constexpr std::int64_t kRows = 3, kCols = 5, kTimes = 40;
  std::array<f16, kRows * kCols> before{}, after{};
  const auto next = [](std::int64_t i, std::int64_t j) {
    return [=](f16 x) { return f16(static_cast<float>(x) + 0.25f * static_cast<float>(i * j)); };
  };
  const Matrix<f16> from(before.data(), kRows, kCols), to(after.data(), kRows, kCols);
  fill(from, Distribution::gaussian, 1.0f, 1);
  for (std::int64_t i = 0; i < kRows; ++i) {
    for (std::int64_t j = 0; j < kCols; ++j) {
      to(i, j) = from(i, j);
      for (std::int64_t k = 0; k < kTimes; ++k) to(i, j) = next(i, j)(to(i, j));
    }
  }
  const auto status = [&] {
    return verify_additions<f16>("out", from, to, std::nullopt, 7, next, Zeros::mistrusted).status;
  };
  EXPECT_EQ(status(), "PASSED");
  const f16 right = to(1, 2);
  to(1, 2) = next(1, 2)(right);  // once more than the others
  EXPECT_EQ(status(), "FAILED");
  to(1, 2) = f16(static_cast<float>(right) + 0.125f);  // between two additions
  EXPECT_EQ(status(), "FAILED");
  to(1, 2) = right;
  to(0, 3) = f16(static_cast<float>(from(0, 3)) + 1.0f);  // where nothing is added
  EXPECT_EQ(status(), "FAILED");
}

TEST(NegativeControl, UnpermutedRowsAreReported) {
  expect_verdict<RowToAmpere, s8, UnpermutedRows>(small_matrix(), Depth::check, "FAILED", "y: ");
}
TEST(NegativeControl, SpoiledPaddingIsReported) {
  expect_verdict<RowToCol32, s8, SpoiledPadding>(small_matrix(), Depth::check, "FAILED",
                                                 "the memory of y, padding included: ");
}
TEST(NegativeControl, UnwrittenPanelIsReported) {
  expect_verdict<RowToCol32, s8, UnwrittenPanel>(small_matrix(), Depth::check, "FAILED",
                                                 "elements differ");
}
TEST(NegativeControl, IgnoredStrideIsReported) {
  expect_verdict<ColToCol32, s8, IgnoredStride>(small_matrix(), Depth::check, "FAILED",
                                                "elements differ");
}
TEST(NegativeControl, IgnoredBatchStrideIsReported) {
  Problem p = small_matrix();
  p.layer = {3, 43, 200, 0};
  expect_verdict<Flatten, f16, IgnoredBatchStride>(p, Depth::check, "FAILED", "elements differ");
}

TEST(NegativeControl, ShortColumnsAreReported) {
  expect_verdict<QuantizeColwise, f16, ShortColumns>(small_matrix(), Depth::check, "FAILED",
                                                     "q_col: ");
}
TEST(NegativeControl, OutliersThatAreRightPass) {
  expect_verdict<QuantizeOutliers, f16, Spoiled<NoFault>>(small_outliers(), Depth::check_and_time,
                                                          "PASSED", "");
}
TEST(NegativeControl, MissedOutliersAreReported) {
  expect_verdict<QuantizeOutliers, f16, Spoiled<HigherThreshold>>(small_outliers(), Depth::check,
                                                                  "FAILED", "count: ");
}
TEST(NegativeControl, UnsortedListIsReported) {
  expect_verdict<QuantizeOutliers, f16, Spoiled<UnsortedList>>(small_outliers(), Depth::check,
                                                               "FAILED", "list.col: ");
}
TEST(NegativeControl, OutlierInBothPartsIsReported) {
  expect_verdict<QuantizeOutliers, f16, Spoiled<OutlierInBothParts>>(small_outliers(), Depth::check,
                                                                     "FAILED", "q_row: ");
}
TEST(NegativeControl, SilentOverflowIsReported) {
  Problem p = small_outliers();
  p.list_room = -1;
  expect_verdict<QuantizeOutliers, f16, CountOfWhatFits>(p, Depth::check, "FAILED", "count: 0 ");
}
TEST(NegativeControl, WriteBeyondTheListIsReported) {
  expect_verdict<QuantizeOutliers, f16, Spoiled<WritesBeyondCapacity>>(
      small_outliers(), Depth::check, "FAILED", "after the end of list.row was overwritten");
}
TEST(NegativeControl, ShiftedOffsetsAreReported) {
  expect_verdict<CooToCsr, f16, ShiftedOffsets>(small_outliers(), Depth::check, "FAILED",
                                                "row_offsets: ");
}
TEST(NegativeControl, UnsortedColumnsAreReported) {
  expect_verdict<SortByColumn, f16, UnsortedColumns>(small_outliers(), Depth::check, "FAILED",
                                                     "list.col: ");
}
TEST(NegativeControl, WrongLayoutIsReported) {
  expect_verdict<ExtractOutliersCol4_4R2_8C, s8, WrongLayout>(small_matrix(), Depth::check,
                                                              "FAILED", "out: ");
}

// ---- training steps whose stages are composed wrongly: each stage by itself is right ----

/// What is said of a step on each backend where a device answers, after `change`.
template <class F>
void expect_step_verdict(const StepOptions& options, const F& change, std::string_view status,
                         std::string_view message,
                         Distribution distribution = Distribution::outlier_channels) {
  for_each_backend([&]<class B>(B) {
    if (!available(B{})) return;
    Problem p;
    p.name = "1x64x64x64";
    p.layer = {1, 64, 64, 64};  // square, so that a wrong tensor has the right extents
    const StepSetting setting{{}, options, distribution};
    Json record = new_record(B::kName, "training_step", DType::f16, p, test_seed());
    record["step"] = to_json(options);
    StepCase<B, f16> step(make_backend<B>(), p, setting, test_seed(), false);
    step.change([&](TrainingStep<B, f16>& s) { change(s); });
    const Check check = step.run_and_verify(record);
    EXPECT_EQ(check.status, status) << B::kName << ": " << check.message;
    EXPECT_NE(check.message.find(message), std::string::npos)
        << B::kName << ": '" << check.message << "' does not say '" << message << "'";
  });
}

/// f(work) for each stage whose work is a W.
template <class W, class B, class F>
void for_each_stage(TrainingStep<B, f16>& step, const F& f) {
  for (Stage<B, f16>& stage : step.stages()) {
    if (auto* work = std::get_if<W>(&stage.work)) f(*work);
  }
}

constexpr StepOptions kDecomposed{.threshold = 6, .outlier_share = 1};

TEST(NegativeControl, RightStepPasses) {
  for (const StepLayout layout : {StepLayout::row, StepLayout::col_turing}) {
    StepOptions options = kDecomposed;
    options.layout = layout;
    options.bias = true;
    expect_step_verdict(
        options, [](auto&) {}, "PASSED", "");
  }
}
TEST(NegativeControl, StepThatRoundsAGradientToNearestIsReported) {
  constexpr StepOptions kStochastic{.gradient_rounding = Rounding::stochastic, .rounding_seed = 5};
  // Where one channel meets one channel, a single element would decide what the samples come to.
  expect_step_verdict(
      kStochastic, [](auto& step) { step.set_rounding_offset(std::uint64_t{1} << 40); }, "PASSED",
      "", Distribution::gaussian);
  // Each stage is right by what it was asked for, but nobody asked: the step's options do not show.
  expect_step_verdict(
      kStochastic,
      []<class B>(TrainingStep<B, f16>& step) {
        for_each_stage<QuantizeStage<f16>>(step, [](QuantizeStage<f16>& s) { s.rounding.reset(); });
      },
      "FAILED", "grad was not rounded stochastically", Distribution::gaussian);
}
TEST(NegativeControl, StepThatDropsItsOutliersIsReported) {
  expect_step_verdict(
      kDecomposed,
      []<class B>(TrainingStep<B, f16>& step) {
        std::erase_if(step.stages(), [](const Stage<B, f16>& stage) {
          return std::holds_alternative<SpmmStage<f16>>(stage.work);
        });
      },
      "FAILED", "fc1_fprop of the int8 step: ");
}
TEST(NegativeControl, StepThatDropsTheOutliersOfAWeightGradientIsReported) {
  expect_step_verdict(
      kDecomposed,
      []<class B>(TrainingStep<B, f16>& step) {
        std::erase_if(step.stages(), [](const Stage<B, f16>& stage) {
          return std::holds_alternative<SpmmTransposedStage<f16>>(stage.work);
        });
      },
      "FAILED", "fc1_wgrad of the int8 step: ");
}
TEST(NegativeControl, StepThatTransformsTheUntransposedCopyIsReported) {
  expect_step_verdict(
      {.layout = StepLayout::col_ampere},
      []<class B>(TrainingStep<B, f16>& step) {
        for_each_stage<QuantizeStage<f16>>(step, [&](const QuantizeStage<f16>& quantized) {
          for_each_stage<TransformStage<Col32>>(step, [&](TransformStage<Col32>& transform) {
            if (transform.x.data == quantized.q_col.data) transform.x = quantized.q_row;
          });
        });
      },
      "FAILED", "fc2_wgrad of the int8 step: ");
}
TEST(NegativeControl, StepThatScalesByAnotherTensorIsReported) {
  expect_step_verdict(
      {},
      []<class B>(TrainingStep<B, f16>& step) {
        for_each_stage<ScaledGemmStage<B, f16>>(
            step, [](auto& product) { std::swap(product.row_scale, product.col_scale); });
      },
      "FAILED", "fc1_fprop of the int8 step: ");
}
TEST(NegativeControl, StepThatDropsABiasIsReported) {
  expect_step_verdict(
      {.bias = true},
      []<class B>(TrainingStep<B, f16>& step) {
        for_each_stage<ScaledGemmStage<B, f16>>(step, [](auto& product) { product.bias = {}; });
      },
      "FAILED", "fc2_fprop of the int8 step: ");
}

// ---- fused products of a step whose kernel is wrong ----

/// What the step's check says of its first product when the kernel that made the result did not
/// compute `wrong` of it.
template <class F>
void expect_product_verdict(const F& wrong, std::string_view status, std::string_view message) {
  for_each_backend([&]<class B>(B) {
    if (!available(B{})) return;
    const B backend = make_backend<B>();
    Problem p;
    p.layer = {1, 64, 64, 64};
    Ledger ledger;
    const StepInputs<B, f16> inputs(backend, ledger, p, Distribution::gaussian, /*bias=*/true,
                                    /*tensors=*/nullptr, test_seed());
    GuardedStep<B, f16> step(backend, make_gemm_workspace(backend), p.layer, {}, {.bias = true},
                             inputs.views());
    for (Stage<B, f16>& stage : step->stages()) {
      step->run(stage);
      const auto* right = std::get_if<ScaledGemmStage<B, f16>>(&stage.work);
      if (right == nullptr) continue;
      ScaledGemmStage<B, f16> product = *right;
      product.plan.reset();
      wrong(product);
      GemmWorkspace<B> workspace = make_gemm_workspace(backend);
      run_stage(backend, workspace, product);
      synchronize(backend);
      const Check check = StageCheck<B, f16>(backend, test_seed())(stage);
      EXPECT_EQ(check.status, status) << B::kName << ": " << check.message;
      EXPECT_NE(check.message.find(message), std::string::npos)
          << B::kName << ": '" << check.message << "' does not say '" << message << "'";
      break;
    }
  });
}

TEST(NegativeControl, RightFusedProductPasses) {
  expect_product_verdict([](auto&) {}, "PASSED", "");
}
TEST(NegativeControl, FusedProductWithSwappedScalesIsReported) {
  expect_product_verdict([](auto& product) { std::swap(product.row_scale, product.col_scale); },
                         "FAILED", "out: ");
}
TEST(NegativeControl, FusedProductWithoutItsBiasIsReported) {
  expect_product_verdict([](auto& product) { product.bias = {}; }, "FAILED", "out: ");
}
TEST(NegativeControl, FusedProductWithATileOfOtherRowsIsReported) {
  expect_product_verdict(
      [](auto& product) {
        product.a.rows = product.out.rows = product.row_scale.length = 32;
        product.a.data += 32 * product.a.layout.ld;
      },
      "FAILED", "out: ");
}

TEST(NegativeControl, BiasGradientOfTheWrongTensorIsReported) {
  expect_step_verdict(
      {.bias = true},
      [](auto& step) {
        const auto grad_b1 = step.grad_b1().data;
        Matrix<const f16> grad;
        for_each_stage<ColumnSumStage<f16>>(step, [&](ColumnSumStage<f16>& sum) {
          if (sum.sum.data != grad_b1) grad = sum.x;
        });
        for_each_stage<ColumnSumStage<f16>>(step, [&](ColumnSumStage<f16>& sum) {
          if (sum.sum.data == grad_b1) sum.x = grad;
        });
      },
      "FAILED", "grad_b1 of the int8 step: ");
}

}  // namespace
}  // namespace octet::harness
