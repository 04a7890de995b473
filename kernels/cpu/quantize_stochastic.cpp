// Quantization with stochastic rounding; the contract is octet/rounding.hpp.
//
// Pieces as in cpu/quantize.hpp: rows, and strips of columns that go through square tiles. Four
// neighbours in a row share a call of Philox, which is what the time goes to.
// Bytes: as without, 2 reads and 1 write of an int8 for each copy.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "cpu/quantize.hpp"
#include "octet/quantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using cpu::kStrip;
using cpu::kTile;
using cpu::Scaling;

constexpr std::int64_t kGroup = 4;  // elements that share a call of Philox
static_assert(kStrip % kGroup == 0 && kTile % kGroup == 0);

/// Elements [j, j + count) of row i, at most four from a multiple of four on, into `q`. scaling(j)
/// is the element's.
template <class T, class F>
void quantize_group(Matrix<const T> x, StochasticRounding rounding, std::int64_t i, std::int64_t j,
                    std::int64_t count, const F& scaling, s8* q) {
  const PhiloxWords words = rounding_words(rounding, i, j, x.cols);
  for (std::int64_t e = 0; e < count; ++e) {
    const Scaling& s = scaling(j + e);
    q[e] = s.keep == 0
               ? s8{0}
               : static_cast<s8>(round_stochastically(static_cast<float>(x(i, j + e)) * s.inverse,
                                                      words[static_cast<std::size_t>(e)]));
  }
}

template <class T>
void quantize_rows(Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q,
                   Vector<float> row_scale) {
  cpu::parallel_for(x.rows, cpu::rows_per_piece(x.cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      cpu::Magnitude<T> largest = 0;
      for (std::int64_t j = 0; j < x.cols; ++j) {
        largest = std::max(largest, cpu::magnitude(x(i, j)));
      }
      const Scaling scaling = Scaling::of<T>(largest);
      row_scale(i) = scaling.scale;
      const auto of_row = [&](std::int64_t) -> const Scaling& { return scaling; };
      for (std::int64_t j = 0; j < x.cols; j += kGroup) {
        quantize_group(x, rounding, i, j, std::min(kGroup, x.cols - j), of_row, &q(i, j));
      }
    }
  });
}

/// Columns [begin, end), at most kStrip of them.
template <class T>
void quantize_strip(Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_col,
                    Vector<float> col_scale, std::int64_t begin, std::int64_t end) {
  const auto largest = cpu::strip_absmax(x, begin, end - begin, cpu::KeepAll{});
  std::array<Scaling, kStrip> scaling;
  for (std::int64_t j = begin; j < end; ++j) {
    scaling[j - begin] = Scaling::of<T>(largest[j - begin]);
    col_scale(j) = scaling[j - begin].scale;
  }
  const auto of_column = [&](std::int64_t j) -> const Scaling& { return scaling[j - begin]; };

  cpu::Tile tile{};
  for (std::int64_t i0 = 0; i0 < x.rows; i0 += kTile) {
    const std::int64_t tile_rows = std::min(kTile, x.rows - i0);
    for (std::int64_t j0 = begin; j0 < end; j0 += kTile) {
      const std::int64_t tile_end = std::min(j0 + kTile, end);
      for (std::int64_t i = 0; i < tile_rows; ++i) {
        for (std::int64_t j = j0; j < tile_end; j += kGroup) {
          quantize_group(x, rounding, i0 + i, j, std::min(kGroup, tile_end - j), of_column,
                         &tile[i * kTile + j - j0]);
        }
      }
      cpu::transpose(tile);
      for (std::int64_t j = j0; j < tile_end; ++j) {
        std::memcpy(&q_col(j, i0), &tile[(j - j0) * kTile], static_cast<std::size_t>(tile_rows));
      }
    }
  }
}

template <class T>
void quantize_columns(Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_col,
                      Vector<float> col_scale) {
  cpu::for_each_strip(x.cols, [&](std::int64_t begin, std::int64_t end) {
    quantize_strip(x, rounding, q_col, col_scale, begin, end);
  });
}

}  // namespace

template <class T>
void quantize_rowwise(Cpu, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q,
                      Vector<float> row_scale) {
  preconditions::quantize_rowwise(x, q, row_scale);
  if (x.empty()) return;
  quantize_rows(x, rounding, q, row_scale);
}

template <class T>
void quantize_colwise(Cpu, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_col,
                      Vector<float> col_scale) {
  preconditions::quantize_colwise(x, q_col, col_scale);
  if (x.empty()) return;
  quantize_columns(x, rounding, q_col, col_scale);
}

template <class T>
void quantize_row_col(Cpu, Matrix<const T> x, StochasticRounding rounding, Matrix<s8> q_row,
                      Vector<float> row_scale, Matrix<s8> q_col, Vector<float> col_scale) {
  preconditions::quantize_row_col(x, q_row, row_scale, q_col, col_scale);
  if (x.empty()) return;
  quantize_rows(x, rounding, q_row, row_scale);
  quantize_columns(x, rounding, q_col, col_scale);
}

template void quantize_rowwise(Cpu, Matrix<const f16>, StochasticRounding, Matrix<s8>,
                               Vector<float>);
template void quantize_rowwise(Cpu, Matrix<const bf16>, StochasticRounding, Matrix<s8>,
                               Vector<float>);
template void quantize_rowwise(Cpu, Matrix<const f32>, StochasticRounding, Matrix<s8>,
                               Vector<float>);
template void quantize_colwise(Cpu, Matrix<const f16>, StochasticRounding, Matrix<s8>,
                               Vector<float>);
template void quantize_colwise(Cpu, Matrix<const bf16>, StochasticRounding, Matrix<s8>,
                               Vector<float>);
template void quantize_colwise(Cpu, Matrix<const f32>, StochasticRounding, Matrix<s8>,
                               Vector<float>);
template void quantize_row_col(Cpu, Matrix<const f16>, StochasticRounding, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>);
template void quantize_row_col(Cpu, Matrix<const bf16>, StochasticRounding, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>);
template void quantize_row_col(Cpu, Matrix<const f32>, StochasticRounding, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>);

}  // namespace octet
