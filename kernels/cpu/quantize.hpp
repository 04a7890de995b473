// The arithmetic of quantization that quantize.cpp, quantize_stochastic.cpp and outliers.cpp share;
// the contract is octet/quantize.hpp.
//
// What counts is asked of `kept(bits of |x|, column)`: an element that is not kept is in no
// statistic and is 0 in both int8 copies.
//
// Rows: each is read twice, the second time from cache. Columns: strips that a thread owns whole,
// so that statistics need neither scratch memory nor a merge; a strip is read once for its
// statistics and once to be quantized in square tiles, which are transposed in cache and written as
// whole lines. Loops are written for the vectorizer.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cpu/parallel.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::cpu {

inline constexpr std::int64_t kTile = 64;    // rows and columns that are transposed at a time
inline constexpr std::int64_t kStrip = 256;  // columns that a thread owns; a multiple of kTile

/// The bits of |x|, whose order as integers is that of the values: NaN above Inf above finite.
template <class T>
using Magnitude = std::conditional_t<sizeof(T) == 2, std::int16_t, std::int32_t>;

template <class T>
Magnitude<T> magnitude(T x) {
  constexpr auto kAllButSign = std::numeric_limits<Magnitude<T>>::max();
  return static_cast<Magnitude<T>>(std::bit_cast<Magnitude<T>>(x) & kAllButSign);
}

/// Everything counts.
struct KeepAll {
  template <class M>
  bool operator()(M, std::int64_t) const {
    return true;
  }
};

/// What a row's absmax becomes in Q, s8 or e4m3. Both are written as bytes, through views of s8.
template <class Q>
inline constexpr float kLargest = std::is_same_v<Q, s8> ? 127.0f : 448.0f;

/// How a row or a column is quantized.
struct Scaling {
  float scale;
  float inverse;
  s8 keep;  // all ones, or 0 where every q must be 0

  template <class T, class Q = s8>
  static Scaling of(Magnitude<T> largest) {
    const float absmax = static_cast<float>(std::bit_cast<T>(largest));
    if (!std::isfinite(absmax)) return {std::numeric_limits<float>::quiet_NaN(), 0.0f, 0};
    const float inverse = kLargest<Q> / absmax;
    if (!std::isfinite(inverse)) return {0.0f, 0.0f, 0};
    return {absmax / kLargest<Q>, inverse, -1};
  }
};

/// rint(x * inverse). |x * inverse| is at most 127 + 2^-16, as both factors are rounded once, so no
/// q saturates and adding 1.5 * 2^23 rounds at the last integer bit, ties to even. The low byte of
/// the sum is q in two's complement. (A contracted fma would round once where the contract rounds
/// twice.)
inline s8 quantized(float x, float inverse) {
  return static_cast<s8>(std::bit_cast<std::int32_t>(x * inverse + 0x1.8p23f));
}

/// The byte of x * inverse, rounded to Q.
template <class Q>
s8 quantized_byte(float x, float inverse) {
  if constexpr (std::is_same_v<Q, s8>) {
    return quantized(x, inverse);
  } else {
    return std::bit_cast<s8>(Q(x * inverse));
  }
}

/// `keep`, or 0 where x does not count.
template <class T, class Kept>
s8 keep_where(const Kept& kept, T x, std::int64_t j, s8 keep) {
  return kept(magnitude(x), j) ? keep : s8{0};
}

template <class Q, class T, class Kept>
void quantize_row(const T* x, std::int64_t cols, s8* q, float& scale, const Kept& kept) {
  Magnitude<T> largest = 0;
  for (std::int64_t j = 0; j < cols; ++j) {
    const Magnitude<T> m = magnitude(x[j]);
    largest = std::max(largest, kept(m, j) ? m : Magnitude<T>{0});
  }
  const Scaling scaling = Scaling::of<T, Q>(largest);
  scale = scaling.scale;
  if (scaling.keep == 0) {
    std::memset(q, 0, static_cast<std::size_t>(cols));
    return;
  }
  const float inverse = scaling.inverse;
  for (std::int64_t j = 0; j < cols; ++j) {
    q[j] = static_cast<s8>(quantized_byte<Q>(static_cast<float>(x[j]), inverse) &
                           keep_where(kept, x[j], j, s8{-1}));
  }
}

template <class T, class Kept = KeepAll, class Q = s8>
void quantize_rows(Matrix<const T> x, Matrix<s8> q, Vector<float> row_scale,
                   const Kept& kept = {}) {
  parallel_for(x.rows, rows_per_piece(x.cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      quantize_row<Q>(&x(i, 0), x.cols, &q(i, 0), row_scale(i), kept);
    }
  });
}

using Tile = std::array<s8, kTile * kTile>;

/// A perfect shuffle rotates the bits of each element's index by one; as many as a row index has
/// bits exchange row and column.
inline void transpose(Tile& tile) {
  constexpr std::size_t kHalf = kTile * kTile / 2;
  Tile other;
  const auto shuffle = [](const Tile& in, Tile& out) {
    for (std::size_t k = 0; k < kHalf; ++k) {
      out[2 * k] = in[k];
      out[2 * k + 1] = in[kHalf + k];
    }
  };
  static_assert(std::has_single_bit(static_cast<std::uint64_t>(kTile)) &&
                std::countr_zero(static_cast<std::uint64_t>(kTile)) % 2 == 0);
  for (int bit = 0; bit < std::countr_zero(static_cast<std::uint64_t>(kTile)); bit += 2) {
    shuffle(tile, other);
    shuffle(other, tile);
  }
}

/// max |x| of columns [begin, begin + width), at most kStrip of them, over what is kept.
template <class T, class Kept>
std::array<Magnitude<T>, kStrip> strip_absmax(Matrix<const T> x, std::int64_t begin,
                                              std::int64_t width, const Kept& kept) {
  std::array<Magnitude<T>, kStrip> largest{};
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const T* row = &x(i, begin);
    for (std::int64_t j = 0; j < width; ++j) {
      const Magnitude<T> m = magnitude(row[j]);
      largest[j] = std::max(largest[j], kept(m, begin + j) ? m : Magnitude<T>{0});
    }
  }
  return largest;
}

/// Columns [begin, end) of x, at most kStrip of them.
template <class Q, class T, class Kept>
void quantize_strip(Matrix<const T> x, Matrix<s8> q_col, Vector<float> col_scale,
                    std::int64_t begin, std::int64_t end, const Kept& kept) {
  const std::int64_t width = end - begin;
  const std::array<Magnitude<T>, kStrip> largest = strip_absmax(x, begin, width, kept);
  std::array<float, kStrip> inverse;
  std::array<s8, kStrip> keep;
  for (std::int64_t j = 0; j < width; ++j) {
    const Scaling scaling = Scaling::of<T, Q>(largest[j]);
    col_scale(begin + j) = scaling.scale;
    inverse[j] = scaling.inverse;
    keep[j] = scaling.keep;
  }

  Tile tile{};
  for (std::int64_t i0 = 0; i0 < x.rows; i0 += kTile) {
    const std::int64_t tile_rows = std::min(kTile, x.rows - i0);
    for (std::int64_t j0 = 0; j0 < width; j0 += kTile) {
      const std::int64_t tile_cols = std::min(kTile, width - j0);
      for (std::int64_t i = 0; i < tile_rows; ++i) {
        const T* row = &x(i0 + i, begin + j0);
        for (std::int64_t j = 0; j < tile_cols; ++j) {
          const s8 q = quantized_byte<Q>(static_cast<float>(row[j]), inverse[j0 + j]);
          tile[i * kTile + j] =
              static_cast<s8>(q & keep_where(kept, row[j], begin + j0 + j, keep[j0 + j]));
        }
      }
      transpose(tile);
      for (std::int64_t j = 0; j < tile_cols; ++j) {
        std::memcpy(&q_col(begin + j0 + j, i0), &tile[j * kTile],
                    static_cast<std::size_t>(tile_rows));
      }
    }
  }
}

/// body(begin, end) for each strip of columns.
template <class F>
void for_each_strip(std::int64_t cols, const F& body) {
  parallel_for((cols + kStrip - 1) / kStrip, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t strip = first; strip < last; ++strip) {
      body(strip * kStrip, std::min((strip + 1) * kStrip, cols));
    }
  });
}

template <class T, class Kept = KeepAll, class Q = s8>
void quantize_columns(Matrix<const T> x, Matrix<s8> q_col, Vector<float> col_scale,
                      const Kept& kept = {}) {
  for_each_strip(x.cols, [&](std::int64_t begin, std::int64_t end) {
    quantize_strip<Q>(x, q_col, col_scale, begin, end, kept);
  });
}

}  // namespace octet::cpu
