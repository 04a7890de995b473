// quantize_row_col with a threshold, coo_to_csr, sort_by_column and extract_outliers: see
// harness/operators/outliers.hpp.
#include "harness/operators/outliers.hpp"

#include "harness/suite.hpp"

namespace octet::harness {
namespace {

OCTET_KERNEL_SUITE(QuantizeOutliers_f16, QuantizeOutliers, f16, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeOutliers_bf16, QuantizeOutliers, bf16, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(QuantizeOutliers_f32, QuantizeOutliers, f32, OCTET_FN(quantize_row_col));
OCTET_KERNEL_SUITE(CooToCsr_f16, CooToCsr, f16, OCTET_FN(coo_to_csr));
OCTET_KERNEL_SUITE(CooToCsr_f32, CooToCsr, f32, OCTET_FN(coo_to_csr));
OCTET_KERNEL_SUITE(SortByColumn_f16, SortByColumn, f16, OCTET_FN(sort_by_column));
OCTET_KERNEL_SUITE(SortByColumn_bf16, SortByColumn, bf16, OCTET_FN(sort_by_column));
OCTET_KERNEL_SUITE(SortByColumn_f32, SortByColumn, f32, OCTET_FN(sort_by_column));
OCTET_KERNEL_SUITE(ExtractOutliers_row_s8, ExtractOutliersRow, s8, OCTET_FN(extract_outliers));
OCTET_KERNEL_SUITE(ExtractOutliers_row_f16, ExtractOutliersRow, f16, OCTET_FN(extract_outliers));
OCTET_KERNEL_SUITE(ExtractOutliers_row_bf16, ExtractOutliersRow, bf16, OCTET_FN(extract_outliers));
OCTET_KERNEL_SUITE(ExtractOutliers_col_s8, ExtractOutliersCol, s8, OCTET_FN(extract_outliers));
OCTET_KERNEL_SUITE(ExtractOutliers_col32_s8, ExtractOutliersCol32, s8, OCTET_FN(extract_outliers));
OCTET_KERNEL_SUITE(ExtractOutliers_col4_4r2_8c_s8, ExtractOutliersCol4_4R2_8C, s8,
                   OCTET_FN(extract_outliers));
OCTET_KERNEL_SUITE(ExtractOutliers_col32_2r_4r4_s8, ExtractOutliersCol32_2R_4R4, s8,
                   OCTET_FN(extract_outliers));

}  // namespace
}  // namespace octet::harness
