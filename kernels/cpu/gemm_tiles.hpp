// How a product is computed: tiles of D, chunks of K, panels for sgemm. The contract is
// octet/gemm.hpp, and gemm.cpp says what is exact and why.
#pragma once

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cpu/parallel.hpp"
#include "octet/gemm.hpp"

namespace octet::cpu {

inline constexpr std::int64_t kTileRows = 2048;
inline constexpr std::int64_t kTileCols = 4096;
inline constexpr std::int64_t kDepth = 1024;  // of a chunk
static_assert(128 * 128 * kDepth <= std::int64_t{1} << 24);

/// Extents of the largest tile of a problem, and what is put beside it in the workspace.
struct TileShape {
  std::int64_t m, n, k;
  bool has_sums;  // int32, of a tile whose results hold none

  explicit TileShape(const GemmProblem& p)
      : m(std::min(p.m, kTileRows)),
        n(std::min(p.n, kTileCols)),
        k(std::min(p.k, kDepth)),
        has_sums(p.result == DType::s8) {}
  std::int64_t floats() const { return m * k + n * k + m * n + (has_sums ? m * n : 0); }
};

/// An operand as it lies in memory.
template <class T, class Layout = RowMajor>
struct Source {
  Matrix<const T, Layout> lying;
  bool transposed = false;
};

template <class T>
Source<T> source(const Operand<T>& o, std::int64_t i) {
  const T* data = o.data + i * o.stride;
  return o.transposed ? Source<T>{{data, o.cols, o.rows, {o.ld}}, true}
                      : Source<T>{{data, o.rows, o.cols, {o.ld}}, false};
}

/// One block of a source: `rows` x `cols` elements from (i, j), as they lie in memory.
template <class T, class Layout>
struct Block {
  Matrix<const T, Layout> lying;
  std::int64_t i, j, rows, cols;
  bool transposed;
};

/// Rows [i, i + count) of the operand, columns [k, k + depth).
template <class T, class Layout>
Block<T, Layout> block_of(const Source<T, Layout>& s, std::int64_t i, std::int64_t count,
                          std::int64_t k, std::int64_t depth) {
  if (s.transposed) return {s.lying, k, i, depth, count, true};
  return {s.lying, i, k, count, depth, false};
}

template <class T, class Layout>
void load_panel(const Block<T, Layout>& block, float* panel) {
  parallel_for(block.rows, rows_per_piece(block.cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Matrix<const T, Layout> m = block.lying;
      float* row = panel + i * block.cols;
      for (std::int64_t j = 0; j < block.cols; ++j)
        row[j] = static_cast<float>(m(block.i + i, block.j + j));
    }
  });
}

/// Panels a and b multiplied into c[m,n], or added to it.
template <class A, class B>
void multiply_panels(const A& a, const float* panel_a, const B& b, const float* panel_b, bool add,
                     float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto blas = [](std::int64_t extent) { return static_cast<blasint>(extent); };
  cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
              b.transposed ? CblasNoTrans : CblasTrans, blas(m), blas(n), blas(k), 1.0f, panel_a,
              blas(a.cols), panel_b, blas(b.cols), add ? 1.0f : 0.0f, c, blas(n));
}

/// Where a tile of f32 results lies in D, and which chunk of K they are from.
struct Tile {
  std::int64_t i, j, m, n;
  bool first, last;

  /// body(row of the tile) in parallel.
  template <class Body>
  void for_each_row(const Body& body) const {
    parallel_for(m, rows_per_piece(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) body(r);
    });
  }
};

/// Chunks are added in D.
template <class Layout>
struct Accumulators {
  static constexpr bool kSumsInFloat = false;
  Matrix<s32, Layout> d;

  void store(const float* c, float* /*sums*/, const Tile& t) const {
    t.for_each_row([&](std::int64_t r) {
      const float* from = c + r * t.n;
      const Matrix<s32, Layout> to = d;
      for (std::int64_t j = 0; j < t.n; ++j) {
        s32& sum = to(t.i + r, t.j + j);
        sum = (t.first ? 0 : sum) + static_cast<s32>(from[j]);
      }
    });
  }
};

/// Chunks are added beside the panels; the last one writes s8.
template <class Layout>
struct Rescaled {
  static constexpr bool kSumsInFloat = false;
  Matrix<s8, Layout> d;
  Vector<const float> alpha;

  void store(const float* c, float* sums, const Tile& t) const {
    static_assert(sizeof(s32) == sizeof(float));
    t.for_each_row([&](std::int64_t r) {
      const float* from = c + r * t.n;
      s32* sum = reinterpret_cast<s32*>(sums) + r * t.n;
      for (std::int64_t j = 0; j < t.n; ++j) {
        sum[j] = (t.first ? 0 : sum[j]) + static_cast<s32>(from[j]);
      }
      if (!t.last) return;
      const float factor = alpha(alpha.length == 1 ? 0 : t.i + r);
      for (std::int64_t j = 0; j < t.n; ++j) {
        const float value = std::rint(factor * static_cast<float>(sum[j]));
        // NaN fails the comparison.
        d(t.i + r, t.j + j) =
            value == value ? static_cast<s8>(std::clamp(value, -128.0f, 127.0f)) : s8{0};
      }
    });
  }
};

/// Chunks were added by sgemm.
template <class T>
struct Rounded {
  static constexpr bool kSumsInFloat = true;
  Matrix<T> d;
  Vector<const T> bias;

  void store(const float* c, float* /*sums*/, const Tile& t) const {
    if (!t.last) return;
    t.for_each_row([&](std::int64_t r) {
      const float* from = c + r * t.n;
      T* to = &d(t.i + r, t.j);
      if (bias.length == 0) {
        for (std::int64_t j = 0; j < t.n; ++j) to[j] = static_cast<T>(from[j]);
      } else {
        const T* b = bias.data + t.j;
        for (std::int64_t j = 0; j < t.n; ++j) {
          to[j] = static_cast<T>(from[j] + static_cast<float>(b[j]));
        }
      }
    });
  }
};

/// Chunks were added by sgemm; rows and columns have scales.
template <class T>
struct ScaledAndRounded {
  static constexpr bool kSumsInFloat = true;
  Matrix<T> d;
  Vector<const float> row_scale, col_scale;
  Vector<const T> bias;

  void store(const float* c, float* /*sums*/, const Tile& t) const {
    if (!t.last) return;
    t.for_each_row([&](std::int64_t r) {
      const float* from = c + r * t.n;
      const float* scales = col_scale.data + t.j;
      const float scale = row_scale(t.i + r);
      T* to = &d(t.i + r, t.j);
      for (std::int64_t j = 0; j < t.n; ++j) {
        const float added = bias.length == 0 ? 0.0f : static_cast<float>(bias(t.j + j));
        to[j] = static_cast<T>(std::fma(from[j], scale * scales[j], added));
      }
    });
  }
};

template <class A, class B, class Sink>
void multiply(const GemmProblem& q, const A& a, const B& b, const Sink& sink, float* panels) {
  const TileShape tile(q);
  float* panel_a = panels;
  float* panel_b = panel_a + tile.m * tile.k;
  float* c = panel_b + tile.n * tile.k;
  float* sums = c + tile.m * tile.n;
  for (std::int64_t i = 0; i < q.m; i += tile.m) {
    const std::int64_t m = std::min(tile.m, q.m - i);
    for (std::int64_t j = 0; j < q.n; j += tile.n) {
      const std::int64_t n = std::min(tile.n, q.n - j);
      for (std::int64_t k0 = 0; k0 < q.k; k0 += tile.k) {
        const std::int64_t k = std::min(tile.k, q.k - k0);
        const auto block_a = block_of(a, i, m, k0, k);
        const auto block_b = block_of(b, j, n, k0, k);
        // A panel that holds the whole of K serves all tiles of its row.
        if (j == 0 || tile.k < q.k) load_panel(block_a, panel_a);
        load_panel(block_b, panel_b);
        const bool first = k0 == 0, last = k0 + k == q.k;
        multiply_panels(block_a, panel_a, block_b, panel_b, Sink::kSumsInFloat && !first, c, m, n,
                        k);
        sink.store(c, sums, {i, j, m, n, first, last});
      }
    }
  }
}

}  // namespace octet::cpu
