// transform and flatten: see harness/operators/transform.hpp.
#include "harness/operators/transform.hpp"

#include <array>
#include <cstdint>
#include <string>

#include "harness/suite.hpp"

namespace octet::harness {
namespace {

// A pair of layouts as a description of its own.
template <class B, class T>
using RowToRow = Transform<B, T, RowMajor, RowMajor>;
template <class B, class T>
using RowToCol = Transform<B, T, RowMajor, ColMajor>;
template <class B, class T>
using RowToCol32 = Transform<B, T, RowMajor, Col32>;
template <class B, class T>
using RowToCol4_4R2_8C = Transform<B, T, RowMajor, Col4_4R2_8C>;
template <class B, class T>
using RowToCol32_2R_4R4 = Transform<B, T, RowMajor, Col32_2R_4R4>;
template <class B, class T>
using ColToRow = Transform<B, T, ColMajor, RowMajor>;
template <class B, class T>
using ColToCol = Transform<B, T, ColMajor, ColMajor>;
template <class B, class T>
using ColToCol32 = Transform<B, T, ColMajor, Col32>;
template <class B, class T>
using ColToCol4_4R2_8C = Transform<B, T, ColMajor, Col4_4R2_8C>;
template <class B, class T>
using ColToCol32_2R_4R4 = Transform<B, T, ColMajor, Col32_2R_4R4>;
template <class B, class T>
using Col32ToRow = Transform<B, T, Col32, RowMajor>;
template <class B, class T>
using Col32ToCol = Transform<B, T, Col32, ColMajor>;
template <class B, class T>
using Col4_4R2_8CToRow = Transform<B, T, Col4_4R2_8C, RowMajor>;
template <class B, class T>
using Col4_4R2_8CToCol = Transform<B, T, Col4_4R2_8C, ColMajor>;
template <class B, class T>
using Col32_2R_4R4ToRow = Transform<B, T, Col32_2R_4R4, RowMajor>;
template <class B, class T>
using Col32_2R_4R4ToCol = Transform<B, T, Col32_2R_4R4, ColMajor>;

OCTET_KERNEL_SUITE(Transform_s8_row_to_row, RowToRow, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_row_to_col, RowToCol, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_row_to_col32, RowToCol32, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_row_to_col4_4r2_8c, RowToCol4_4R2_8C, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_row_to_col32_2r_4r4, RowToCol32_2R_4R4, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col_to_row, ColToRow, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col_to_col, ColToCol, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col_to_col32, ColToCol32, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col_to_col4_4r2_8c, ColToCol4_4R2_8C, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col_to_col32_2r_4r4, ColToCol32_2R_4R4, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col32_to_row, Col32ToRow, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col32_to_col, Col32ToCol, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col4_4r2_8c_to_row, Col4_4R2_8CToRow, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col4_4r2_8c_to_col, Col4_4R2_8CToCol, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col32_2r_4r4_to_row, Col32_2R_4R4ToRow, s8, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s8_col32_2r_4r4_to_col, Col32_2R_4R4ToCol, s8, OCTET_FN(transform));

OCTET_KERNEL_SUITE(Transform_s32_row_to_row, RowToRow, s32, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s32_row_to_col, RowToCol, s32, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s32_row_to_col32, RowToCol32, s32, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s32_col_to_row, ColToRow, s32, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s32_col_to_col, ColToCol, s32, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s32_col_to_col32, ColToCol32, s32, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s32_col32_to_row, Col32ToRow, s32, OCTET_FN(transform));
OCTET_KERNEL_SUITE(Transform_s32_col32_to_col, Col32ToCol, s32, OCTET_FN(transform));

OCTET_KERNEL_SUITE(Flatten_f16, Flatten, f16, OCTET_FN(flatten));
OCTET_KERNEL_SUITE(Flatten_bf16, Flatten, bf16, OCTET_FN(flatten));
OCTET_KERNEL_SUITE(Flatten_f32, Flatten, f32, OCTET_FN(flatten));

/// cuBLASLt's own transform of the same matrix, element by element: an oracle that shares nothing
/// with the reference but the name of the order. Returns whether cuBLASLt takes the pair.
template <class T, class From, class To, class B>
bool agrees_with_cublaslt(B backend, std::int64_t rows, std::int64_t cols) {
  Ledger ledger;
  LayoutTensor<B, T, From> x(backend, ledger, "x", Role::input, rows, cols, 0);
  LayoutTensor<B, T, To> ours(backend, ledger, "ours", Role::output, rows, cols, 0);
  LayoutTensor<B, T, To> theirs(backend, ledger, "theirs", Role::output, rows, cols, 0);
  // Exact in f32, which cuBLASLt scales s32 in.
  x.fill([&](std::int64_t i, std::int64_t j) {
    const std::uint64_t value = word(test_seed(), static_cast<std::uint64_t>(i * cols + j));
    return static_cast<T>(static_cast<std::int64_t>(value % (1 << 24)) - (1 << 23));
  });
  MatrixTransform transform(kDType<T>, rows, cols, {kLayout<From>, leading(x.view().layout)},
                            {kLayout<To>, leading(theirs.view().layout)});
  if (!transform.run(backend.stream, x.view().data, theirs.view().data)) return false;
  octet::transform(backend, Matrix<const T, From>(x.view()), ours.view());
  synchronize(backend);
  const auto [our_memory, our_view] = ours.host();
  const auto [their_memory, their_view] = theirs.host();
  const Check check =
      compare_bits("transform", our_view,
                   [&, truth = their_view](std::int64_t i, std::int64_t j) { return truth(i, j); });
  EXPECT_TRUE(check.passed) << name(kDType<T>) << ' ' << From::kName << " to " << To::kName << ' '
                            << rows << 'x' << cols << ": " << check.message;
  return true;
}

/// Whether cuBLASLt takes RowMajor to From, whose bytes are then the oracle of the way back: From
/// to To must give the matrix again.
template <class T, class From, class To, class B>
bool inverts_cublaslt(B backend, std::int64_t rows, std::int64_t cols) {
  Ledger ledger;
  LayoutTensor<B, T, RowMajor> x(backend, ledger, "x", Role::input, rows, cols, 0);
  LayoutTensor<B, T, From> theirs(backend, ledger, "theirs", Role::output, rows, cols, 0);
  LayoutTensor<B, T, To> ours(backend, ledger, "ours", Role::output, rows, cols, 0);
  const auto truth = [&](std::int64_t i, std::int64_t j) {
    return static_cast<T>(word(test_seed(), static_cast<std::uint64_t>(i * cols + j)));
  };
  x.fill(truth);
  MatrixTransform transform(kDType<T>, rows, cols, {LayoutKind::row, leading(x.view().layout)},
                            {kLayout<From>, leading(theirs.view().layout)});
  if (!transform.run(backend.stream, x.view().data, theirs.view().data)) return false;
  octet::transform(backend, Matrix<const T, From>(theirs.view()), ours.view());
  synchronize(backend);
  const auto [memory, view] = ours.host();
  const Check check = compare_bits("transform", view, truth);
  EXPECT_TRUE(check.passed) << name(kDType<T>) << ' ' << From::kName << " to " << To::kName << ' '
                            << rows << 'x' << cols << ": " << check.message;
  return true;
}

/// Pairs from From that cuBLASLt has taken, at sizes with whole tiles and without.
template <class T, class From, class... To, class B>
int pairs_in_agreement(B backend) {
  int taken = 0;
  for (const auto& [rows, cols] : {std::array{256, 512}, {96, 160}, {130, 97}}) {
    taken += (0 + ... + int{agrees_with_cublaslt<T, From, To>(backend, rows, cols)});
  }
  return taken;
}

TEST(TransformOracle, CublasltAgrees) {
  bool has_device = false;
  for_each_backend([&]<class B>(B) {
    if constexpr (std::is_same_v<B, Cuda>) {
      if (!available(B{})) {
        EXPECT_FALSE(options().requires_backend(B::kName)) << "no cuda device answers";
        return;
      }
      has_device = true;
      const B backend = make_backend<B>();
      EXPECT_GT(
          (pairs_in_agreement<s8, RowMajor, ColMajor, Col32, Col4_4R2_8C, Col32_2R_4R4>(backend)),
          0);
      EXPECT_GT(
          (pairs_in_agreement<s8, ColMajor, RowMajor, Col32, Col4_4R2_8C, Col32_2R_4R4>(backend)),
          0);
      EXPECT_GT((pairs_in_agreement<s8, Col32, RowMajor, ColMajor>(backend)), 0);
      // cuBLASLt writes these two orders, but not every device reads them.
      pairs_in_agreement<s8, Col4_4R2_8C, RowMajor, ColMajor>(backend);
      pairs_in_agreement<s8, Col32_2R_4R4, RowMajor, ColMajor>(backend);
      EXPECT_TRUE((inverts_cublaslt<s8, Col4_4R2_8C, RowMajor>(backend, 256, 512)));
      EXPECT_TRUE((inverts_cublaslt<s8, Col4_4R2_8C, ColMajor>(backend, 256, 512)));
      EXPECT_TRUE((inverts_cublaslt<s8, Col32_2R_4R4, RowMajor>(backend, 256, 512)));
      EXPECT_TRUE((inverts_cublaslt<s8, Col32_2R_4R4, ColMajor>(backend, 256, 512)));
      EXPECT_GT((pairs_in_agreement<s32, RowMajor, ColMajor, Col32>(backend)), 0);
      EXPECT_GT((pairs_in_agreement<s32, ColMajor, RowMajor, Col32>(backend)), 0);
      EXPECT_GT((pairs_in_agreement<s32, Col32, RowMajor, ColMajor>(backend)), 0);
    }
  });
  if (!has_device) GTEST_SKIP() << "no cuda device answers";
}

}  // namespace
}  // namespace octet::harness
