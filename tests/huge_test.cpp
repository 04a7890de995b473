// Matrices of more than 2^31 elements, where every offset must be 64 bits wide: one shape that
// vectors divide and one that they do not. They take up to 30 GiB on both sides, so they run on
// CUDA alone, are checked whole, and are not timed.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "harness/operators/column_sum.hpp"
#include "harness/operators/dequantize.hpp"
#include "harness/operators/gemm.hpp"
#include "harness/operators/outliers.hpp"
#include "harness/operators/quantize.hpp"
#include "harness/operators/spmm.hpp"
#include "harness/operators/transform.hpp"
#include "harness/suite.hpp"

namespace octet::harness {
namespace {

constexpr std::int64_t kNeededBytes = std::int64_t{32} << 30;

std::vector<Problem> huge_problems(std::int64_t depth) {
  std::vector<Problem> problems;
  for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{65552, 32768},
                                   std::pair<std::int64_t, std::int64_t>{65537, 32771}}) {
    Problem p;
    p.m = rows;
    p.n = cols;
    p.k = depth;
    p.name =
        depth == 0 ? fmt::format("{}x{}", rows, cols) : fmt::format("{}x{}x{}", rows, cols, depth);
    p.threshold = 4.5f;  // seven of a million
    p.entries = Entries::scattered;
    problems.push_back(std::move(p));
  }
  return problems;
}

template <template <class, class> class D, class T, class Op, std::int64_t depth>
class HugeSuite : public KernelSuite<D, T, Op> {
 public:
  static std::vector<Case> cases(std::string_view backend) {
    std::vector<Case> all;
    for (Problem& p : huge_problems(depth)) all.push_back({backend, std::move(p)});
    return all;
  }

 protected:
  void SetUp() override {
    if (!available(Cuda{}) || free_memory(Cuda{}) >= kNeededBytes) return;
    const std::string reason = fmt::format("needs {} free bytes on the device, and there are {}",
                                           kNeededBytes, free_memory(Cuda{}));
    if (options().requires_backend(Cuda::kName)) FAIL() << reason;
    GTEST_SKIP() << reason;
  }
};

#define OCTET_HUGE_SUITE(suite, description, type, depth, implementation)               \
  using suite##Implementation = decltype(implementation);                               \
  class suite : public HugeSuite<description, type, suite##Implementation, depth> {};   \
  TEST_P(suite, MatchesReference) { run(Depth::check); }                                \
  INSTANTIATE_TEST_SUITE_P(Cuda, suite, ::testing::ValuesIn(suite::cases(Cuda::kName)), \
                           ::octet::harness::case_name)

template <class B, class T>
using RowToCol = Transform<B, T, RowMajor, ColMajor>;
template <class B, class T>
using RowToCol32 = Transform<B, T, RowMajor, Col32>;
template <class B, class T>
using ColToCol4_4R2_8C = Transform<B, T, ColMajor, Col4_4R2_8C>;
template <class B, class T>
using Col32_2R_4R4ToRow = Transform<B, T, Col32_2R_4R4, RowMajor>;

OCTET_HUGE_SUITE(HugeQuantizeRowwise_f16, QuantizeRowwise, f16, 0, OCTET_FN(quantize_rowwise));
OCTET_HUGE_SUITE(HugeQuantizeColwise_f16, QuantizeColwise, f16, 0, OCTET_FN(quantize_colwise));
OCTET_HUGE_SUITE(HugeQuantizeRowCol_f16, QuantizeRowCol, f16, 0, OCTET_FN(quantize_row_col));
OCTET_HUGE_SUITE(HugeQuantizeOutliers_f16, QuantizeOutliers, f16, 0, OCTET_FN(quantize_row_col));
OCTET_HUGE_SUITE(HugeDequantize_f16, Dequantize, f16, 0, OCTET_FN(dequantize));
OCTET_HUGE_SUITE(HugeDequantizeCol32_f16, DequantizeCol32, f16, 0, OCTET_FN(dequantize));
OCTET_HUGE_SUITE(HugeDequantizeRowwise_f16, DequantizeRowwise, f16, 0,
                 OCTET_FN(dequantize_rowwise));
OCTET_HUGE_SUITE(HugeColumnSum_f16, ColumnSum, f16, 0, OCTET_FN(column_sum));
OCTET_HUGE_SUITE(HugeTransform_s8_row_to_col, RowToCol, s8, 0, OCTET_FN(transform));
OCTET_HUGE_SUITE(HugeTransform_s8_row_to_col32, RowToCol32, s8, 0, OCTET_FN(transform));
OCTET_HUGE_SUITE(HugeTransform_s8_col_to_col4_4r2_8c, ColToCol4_4R2_8C, s8, 0, OCTET_FN(transform));
OCTET_HUGE_SUITE(HugeTransform_s8_col32_2r_4r4_to_row, Col32_2R_4R4ToRow, s8, 0,
                 OCTET_FN(transform));
OCTET_HUGE_SUITE(HugeTransform_s32_row_to_col32, RowToCol32, s32, 0, OCTET_FN(transform));
OCTET_HUGE_SUITE(HugeExtractOutliers_row_s8, ExtractOutliersRow, s8, 0, OCTET_FN(extract_outliers));
OCTET_HUGE_SUITE(HugeGemm_s8, GemmS8, s8, 20, PlannedGemmS8{});
OCTET_HUGE_SUITE(HugeSpmmCoo_f16, SpmmCoo, f16, 96, OCTET_FN(spmm_coo));

}  // namespace
}  // namespace octet::harness
