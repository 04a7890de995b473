// What both backends derive alike from the arguments of quantize_row_col with a threshold: the
// smallest magnitude that is an outlier, and what lies where in the workspace.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "octet/numeric.hpp"

namespace octet {

/// The smallest bits of |x| that are an outlier: not (|x| < threshold). Among magnitudes the order
/// of bits is that of values, with NaN on top, so a comparison of integers tells outliers apart.
template <class T>
constexpr std::uint32_t outlier_bits(float threshold) {
  if constexpr (std::is_same_v<T, f32>) {
    return std::bit_cast<std::uint32_t>(threshold);
  } else {
    const T nearest(threshold);
    return nearest.bits + (static_cast<float>(nearest) < threshold ? 1u : 0u);
  }
}

/// The workspace: offsets in bytes, each part aligned to 256.
struct OutlierWorkspace {
  static constexpr std::int64_t kGroupRows = 32;   // least rows that are counted together
  static constexpr std::int64_t kPieceCols = 128;  // least columns of a piece of a row

  std::int64_t row_counts;     // 8 bytes for each row
  std::int64_t group_counts;   // 8 bytes for each kGroupRows rows
  std::int64_t column_absmax;  // 4 bytes for each column
  std::int64_t columns;        // 4 bytes for each column
  std::int64_t column_count;   // 4 bytes
  std::int64_t pieces;         // 8 bytes for each row and kPieceCols columns
  std::int64_t bytes;

  constexpr OutlierWorkspace(std::int64_t rows, std::int64_t cols)
      : row_counts(0),
        group_counts(after(row_counts, 8 * rows)),
        column_absmax(after(group_counts, 8 * ((rows + kGroupRows - 1) / kGroupRows))),
        columns(after(column_absmax, 4 * cols)),
        column_count(after(columns, 4 * cols)),
        pieces(after(column_count, 4)),
        bytes(after(pieces, 8 * rows * ((cols + kPieceCols - 1) / kPieceCols))) {}

 private:
  static constexpr std::int64_t after(std::int64_t offset, std::int64_t size) {
    return (offset + size + 255) / 256 * 256;
  }
};

}  // namespace octet
