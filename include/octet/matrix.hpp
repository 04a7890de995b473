// Non-owning views. Extents and offsets are 64 bits wide; a view never frees what it points to.
#pragma once

#include <cstdint>
#include <type_traits>

#include "octet/layout.hpp"

namespace octet {

/// rows x cols elements of T at data[layout(i, j)], on the device of the backend that it is used
/// with.
template <class T, class Layout = RowMajor>
struct Matrix {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Layout layout{};

  /// Empty, or with a layout of any leading dimension.
  constexpr Matrix() = default;
  constexpr Matrix(T* data, std::int64_t rows, std::int64_t cols, Layout layout)
      : data(data), rows(rows), cols(cols), layout(layout) {}
  /// Packed: no padding but what the layout itself asks for.
  constexpr Matrix(T* data, std::int64_t rows, std::int64_t cols)
      : Matrix(data, rows, cols, Layout::packed(rows, cols)) {}
  /// Matrix<T> -> Matrix<const T>.
  template <class U>
  requires(std::is_same_v<const U, T>) constexpr Matrix(
      Matrix<U, Layout> other)  // NOLINT(google-explicit-constructor)
      : Matrix(other.data, other.rows, other.cols, other.layout) {}

  /// The element (i, j), on its device alone.
  constexpr T& operator()(std::int64_t i, std::int64_t j) const { return data[layout(i, j)]; }
  /// Elements of the matrix, without padding.
  constexpr std::int64_t size() const { return rows * cols; }
  /// Elements from data to the end of what the view may touch.
  constexpr std::int64_t capacity() const { return layout.capacity(rows, cols); }
  /// Whether there is no element.
  constexpr bool empty() const { return rows == 0 || cols == 0; }
};

/// `length` elements of T, one after another.
template <class T>
struct Vector {
  T* data = nullptr;
  std::int64_t length = 0;

  /// Empty, or over memory.
  constexpr Vector() = default;
  constexpr Vector(T* data, std::int64_t length) : data(data), length(length) {}
  /// Vector<T> -> Vector<const T>.
  template <class U>
  requires(std::is_same_v<const U, T>) constexpr Vector(
      Vector<U> other)  // NOLINT(google-explicit-constructor)
      : Vector(other.data, other.length) {}

  /// The element i, on its device alone.
  constexpr T& operator()(std::int64_t i) const { return data[i]; }
};

/// `count` matrices alike, `stride` elements from the first element of one to that of the next.
template <class T, class Layout = RowMajor>
struct Batch {
  Matrix<T, Layout> first;
  std::int64_t count = 1;
  std::int64_t stride = 0;

  /// Empty, or `count` matrices.
  constexpr Batch() = default;
  constexpr Batch(Matrix<T, Layout> first, std::int64_t count, std::int64_t stride)
      : first(first), count(count), stride(stride) {}
  /// A batch of one.
  template <class U>
  requires(std::is_same_v<const U, const T>) constexpr Batch(
      Matrix<U, Layout> one)  // NOLINT(google-explicit-constructor)
      : first(one) {}
  /// Batch<T> -> Batch<const T>.
  template <class U>
  requires(std::is_same_v<const U, T>) constexpr Batch(
      Batch<U, Layout> other)  // NOLINT(google-explicit-constructor)
      : first(other.first), count(other.count), stride(other.stride) {}

  /// One of the matrices.
  constexpr Matrix<T, Layout> operator[](std::int64_t i) const {
    return {first.data + i * stride, first.rows, first.cols, first.layout};
  }
};

/// The transpose of a view, without moving a byte.
template <class T>
constexpr Matrix<T, ColMajor> transposed(Matrix<T, RowMajor> m) {
  return {m.data, m.cols, m.rows, ColMajor{m.layout.ld}};
}
template <class T>
constexpr Matrix<T, RowMajor> transposed(Matrix<T, ColMajor> m) {
  return {m.data, m.cols, m.rows, RowMajor{m.layout.ld}};
}

}  // namespace octet
