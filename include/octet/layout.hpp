// Layouts: functions from a coordinate (i, j) to an offset in elements.
//
// R rows, C columns. The three tiled orders are cuBLASLt's (cublasLt.h, cublasLtOrder_t): columns
// in panels of 32, rows rearranged inside a panel, as the integer tensor cores of compute
// capability 7.5 and 8.x read them. `capacity` is what must be allocated, padding included; padding
// is zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace octet {

/// (i, j) -> i * ld + j, with ld >= C.
struct RowMajor {
  static constexpr std::string_view kName = "row";
  std::int64_t ld = 0;

  /// Without padding of its own; the offset of (i, j); elements that it spans.
  static constexpr RowMajor packed(std::int64_t /*rows*/, std::int64_t cols) { return {cols}; }
  constexpr std::int64_t operator()(std::int64_t i, std::int64_t j) const { return i * ld + j; }
  constexpr std::int64_t capacity(std::int64_t rows, std::int64_t cols) const {
    return rows == 0 || cols == 0 ? 0 : (rows - 1) * ld + cols;
  }
};

/// (i, j) -> j * ld + i, with ld >= R. The same bytes as the transpose in RowMajor.
struct ColMajor {
  static constexpr std::string_view kName = "col";
  std::int64_t ld = 0;

  /// Without padding of its own; the offset of (i, j); elements that it spans.
  static constexpr ColMajor packed(std::int64_t rows, std::int64_t /*cols*/) { return {rows}; }
  constexpr std::int64_t operator()(std::int64_t i, std::int64_t j) const { return j * ld + i; }
  constexpr std::int64_t capacity(std::int64_t rows, std::int64_t cols) const {
    return rows == 0 || cols == 0 ? 0 : (cols - 1) * ld + rows;
  }
};

/// CUBLASLT_ORDER_COL32: panels of 32 columns, row-major inside a panel.
struct Col32 {
  static constexpr std::string_view kName = "col32";
  std::int64_t rows = 0;  // of a panel, at least the matrix's

  /// Without padding of its own; the offset of (i, j); elements that it spans.
  static constexpr Col32 packed(std::int64_t rows, std::int64_t /*cols*/) { return {rows}; }
  constexpr std::int64_t operator()(std::int64_t i, std::int64_t j) const {
    return j / 32 * 32 * rows + 32 * i + j % 32;
  }
  constexpr std::int64_t capacity(std::int64_t /*rows*/, std::int64_t cols) const {
    return 32 * rows * ((cols + 31) / 32);
  }
};

/// CUBLASLT_ORDER_COL4_4R2_8C (compute capability 7.5): tiles of 8 rows x 32 columns.
struct Col4_4R2_8C {
  static constexpr std::string_view kName = "col4_4r2_8c";
  std::int64_t padded_rows = 0;  // a multiple of 8

  /// Without padding of its own; the offset of (i, j); elements that it spans.
  static constexpr Col4_4R2_8C packed(std::int64_t rows, std::int64_t /*cols*/) {
    return {(rows + 7) / 8 * 8};
  }
  constexpr std::int64_t operator()(std::int64_t i, std::int64_t j) const {
    return j / 32 * 32 * padded_rows + i / 8 * 256 + i % 2 * 128 + j % 32 / 4 * 16 + i % 8 / 2 * 4 +
           j % 4;
  }
  constexpr std::int64_t capacity(std::int64_t /*rows*/, std::int64_t cols) const {
    return 32 * padded_rows * ((cols + 31) / 32);
  }
};

/// CUBLASLT_ORDER_COL32_2R_4R4 (compute capability 8.x): tiles of 32 rows x 32 columns.
struct Col32_2R_4R4 {
  static constexpr std::string_view kName = "col32_2r_4r4";
  std::int64_t padded_rows = 0;  // a multiple of 32

  /// Without padding of its own; the offset of (i, j); elements that it spans.
  static constexpr Col32_2R_4R4 packed(std::int64_t rows, std::int64_t /*cols*/) {
    return {(rows + 31) / 32 * 32};
  }
  constexpr std::int64_t operator()(std::int64_t i, std::int64_t j) const {
    return j / 32 * 32 * padded_rows + i / 32 * 1024 +
           ((i % 8 / 2 * 4 + i % 32 / 8) * 2 + i % 2) * 32 + j % 32;
  }
  constexpr std::int64_t capacity(std::int64_t /*rows*/, std::int64_t cols) const {
    return 32 * padded_rows * ((cols + 31) / 32);
  }
};

/// A layout as a value.
enum class LayoutKind : std::uint8_t { row, col, col32, col4_4r2_8c, col32_2r_4r4 };

/// As records have it: col32.
constexpr std::string_view name(LayoutKind kind) {
  constexpr std::array kNames = {RowMajor::kName, ColMajor::kName, Col32::kName, Col4_4R2_8C::kName,
                                 Col32_2R_4R4::kName};
  return kNames[static_cast<std::size_t>(kind)];
}

/// The value that names a layout's type.
template <class Layout>
inline constexpr LayoutKind kLayout = [] {
  static_assert(sizeof(Layout) == 0, "no LayoutKind names this type");
  return LayoutKind{};
}();
template <>
inline constexpr LayoutKind kLayout<RowMajor> = LayoutKind::row;
template <>
inline constexpr LayoutKind kLayout<ColMajor> = LayoutKind::col;
template <>
inline constexpr LayoutKind kLayout<Col32> = LayoutKind::col32;
template <>
inline constexpr LayoutKind kLayout<Col4_4R2_8C> = LayoutKind::col4_4r2_8c;
template <>
inline constexpr LayoutKind kLayout<Col32_2R_4R4> = LayoutKind::col32_2r_4r4;

/// The order in which the integer tensor cores of a compute capability (major * 10 + minor; 0 for a
/// CPU) read the second operand of a product: tiled on 7.5 and 8.x, row-major before and since
/// (cublasLt.h, cublasLtOrder_t; bitsandbytes' get_special_format_str).
constexpr LayoutKind preferred_layout(int compute_capability) {
  if (compute_capability == 75) return LayoutKind::col4_4r2_8c;
  if (compute_capability >= 80 && compute_capability < 90) return LayoutKind::col32_2r_4r4;
  return LayoutKind::row;
}

}  // namespace octet
