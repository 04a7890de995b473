// What the harness is for: broken kernels, put in the slot for the implementation, must be
// reported, each by the check that is meant to find it. Runs on every backend of the build.
#include <gtest/gtest.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "harness/operators/column_sum.hpp"
#include "harness/operators/dequantize.hpp"
#include "harness/operators/gemm.hpp"
#include "harness/operators/quantize.hpp"
#include "harness/operators/spmm.hpp"
#include "harness/run_case.hpp"
#include "harness/suite.hpp"
#include "harness/test_run.hpp"

namespace octet::harness {
namespace {

Problem small_matrix() {
  Problem p;
  p.name = "129x200_pad8";
  p.m = 129;
  p.n = 200;
  p.ld_padding = 8;
  return p;
}

Problem small_product() {
  Problem p = small_matrix();
  p.k = 288;
  return p;
}

/// What run_case says of an implementation on each backend where a device answers.
template <template <class, class> class D, class T, class Op>
void expect_verdict(const Problem& problem, Depth depth, std::string_view status,
                    std::string_view message) {
  for_each_backend([&]<class B>(B) {
    if (!available(B{})) {
      EXPECT_FALSE(options().requires_backend(B::kName)) << "no " << B::kName << " device answers";
      return;
    }
    const B backend = make_backend<B>();
    const std::uint64_t seed = test_seed();
    Json record = new_record(B::kName, D<B, T>::kOperator, kDType<T>, problem, seed);
    set_environment(record, backend);
    Op op;
    const Check check = run_case<D<B, T>>(backend, problem, seed, op, depth, record);
    EXPECT_EQ(check.status, status) << B::kName << ": " << check.message;
    EXPECT_NE(check.message.find(message), std::string::npos)
        << B::kName << ": '" << check.message << "' does not say '" << message << "'";
  });
}

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

/// The last row of the tensor is never reached.
struct UnwrittenTail {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> row_scale) {
    x.rows -= 1;
    q.rows -= 1;
    row_scale.length -= 1;
    quantize_rowwise<f16>(backend, x, q, row_scale);
  }
};

/// One row is another row's result.
struct OneWrongRow {
  template <class B>
  void operator()(B backend, Matrix<const f16> x, Matrix<s8> q, Vector<float> row_scale) {
    quantize_rowwise<f16>(backend, x, q, row_scale);
    copy(backend, &q(77, 0), &q(76, 0), static_cast<std::size_t>(q.cols));
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
struct IgnoredStride {
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
TEST(NegativeControl, DroppedSliceOfKIsReported) {
  expect_verdict<GemmS8, s8, DroppedSlice>(small_product(), Depth::check, "FAILED",
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
TEST(NegativeControl, IgnoredStrideIsReported) {
  expect_verdict<SpmmCooTransposed, f16, IgnoredStride>(small_list_product(Entries::scattered),
                                                        Depth::check, "FAILED", "elements differ");
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

}  // namespace
}  // namespace octet::harness
