// Products with a list of entries; the contract, the order of additions included, is
// octet/outliers.hpp.
//
// A row (column) of the output belongs to one thread, which finds its entries by binary search.
// Weights are gathered along K for each entry in turn; sums of a strip of outputs stay in the
// first-level cache. Operations: 2 an entry and output.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "cpu/parallel.hpp"
#include "octet/outliers.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

constexpr std::int64_t kStrip = 1024;  // outputs whose sums a thread keeps

/// Entries [begin, end) whose key (row or column, ascending) is `key`.
struct Range {
  std::int64_t begin, end;
};
Range entries_of(const s32* keys, std::int64_t count, std::int64_t key) {
  const auto [first, last] = std::equal_range(keys, keys + count, static_cast<s32>(key));
  return {first - keys, last - keys};
}

template <class T>
void fill_nan(Matrix<T> out) {
  const T nan(std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t i = 0; i < out.rows; ++i) std::fill_n(&out(i, 0), out.cols, nan);
}

/// out(i, j) = store(j, out(i, j), sum over the row's entries of value * weight(j, col)).
template <class T, class Weight, class Store>
void multiply_rows(const CooList<T>& coo, Matrix<T> out, const Weight& weight, const Store& store) {
  if (out.empty()) return;
  const std::int64_t count = *coo.count;
  if (count > coo.capacity) return fill_nan(out);
  cpu::parallel_for(out.rows, 1, [&](std::int64_t begin, std::int64_t end) {
    std::array<float, kStrip> sum;
    for (std::int64_t i = begin; i < end; ++i) {
      const Range entries = entries_of(coo.row, count, i);
      if (entries.begin == entries.end) continue;
      for (std::int64_t j0 = 0; j0 < out.cols; j0 += kStrip) {
        const std::int64_t width = std::min(kStrip, out.cols - j0);
        std::fill_n(sum.begin(), width, 0.0f);
        for (std::int64_t e = entries.begin; e < entries.end; ++e) {
          const float value = static_cast<float>(coo.value[e]);
          const std::int64_t k = coo.col[e];
          for (std::int64_t j = 0; j < width; ++j) {
            sum[j] = std::fma(value, weight(j0 + j, k), sum[j]);
          }
        }
        for (std::int64_t j = 0; j < width; ++j) {
          T& o = out(i, j0 + j);
          o = store(j0 + j, o, sum[j]);
        }
      }
    }
  });
}

/// T( out + sum ).
template <class T>
T plus(T out, float sum) {
  return T(static_cast<float>(out) + sum);
}

}  // namespace

template <class T>
void spmm_coo(Cpu, const CooList<T>& coo, Operand<T> w, Matrix<T> out) {
  preconditions::spmm_coo(coo, w, out);
  const auto store = [](std::int64_t, T o, float sum) { return plus(o, sum); };
  if (w.transposed) {
    multiply_rows(
        coo, out,
        [&](std::int64_t j, std::int64_t k) { return static_cast<float>(w.data[k * w.ld + j]); },
        store);
  } else {
    multiply_rows(
        coo, out,
        [&](std::int64_t j, std::int64_t k) { return static_cast<float>(w.data[j * w.ld + k]); },
        store);
  }
}

template <class T>
void spmm_coo(Cpu, const CooList<T>& coo, Matrix<const s8> w, Vector<const float> w_scale,
              Matrix<T> out) {
  preconditions::spmm_coo(coo, w, w_scale, out);
  multiply_rows(
      coo, out, [&](std::int64_t j, std::int64_t k) { return static_cast<float>(w(j, k)); },
      [&](std::int64_t j, T o, float sum) {
        return T(std::fma(sum, w_scale(j), static_cast<float>(o)));
      });
}

template <class T>
void spmm_coo_transposed(Cpu, Matrix<const T> x, const CooList<T>& by_column, Matrix<T> out) {
  preconditions::spmm_coo_transposed(x, by_column, out);
  if (out.empty()) return;
  const std::int64_t count = *by_column.count;
  if (count > by_column.capacity) return fill_nan(out);
  cpu::parallel_for(out.cols, 1, [&](std::int64_t begin, std::int64_t end) {
    std::array<float, kStrip> sum;
    for (std::int64_t j = begin; j < end; ++j) {
      const Range entries = entries_of(by_column.col, count, j);
      if (entries.begin == entries.end) continue;
      for (std::int64_t i0 = 0; i0 < out.rows; i0 += kStrip) {
        const std::int64_t height = std::min(kStrip, out.rows - i0);
        std::fill_n(sum.begin(), height, 0.0f);
        for (std::int64_t e = entries.begin; e < entries.end; ++e) {
          const float value = static_cast<float>(by_column.value[e]);
          const T* row = &x(by_column.row[e], i0);
          for (std::int64_t i = 0; i < height; ++i) {
            sum[i] = std::fma(static_cast<float>(row[i]), value, sum[i]);
          }
        }
        for (std::int64_t i = 0; i < height; ++i) {
          T& o = out(i0 + i, j);
          o = plus(o, sum[i]);
        }
      }
    }
  });
}

template void spmm_coo(Cpu, const CooList<f16>&, Operand<f16>, Matrix<f16>);
template void spmm_coo(Cpu, const CooList<bf16>&, Operand<bf16>, Matrix<bf16>);
template void spmm_coo(Cpu, const CooList<f16>&, Matrix<const s8>, Vector<const float>,
                       Matrix<f16>);
template void spmm_coo(Cpu, const CooList<bf16>&, Matrix<const s8>, Vector<const float>,
                       Matrix<bf16>);
template void spmm_coo_transposed(Cpu, Matrix<const f16>, const CooList<f16>&, Matrix<f16>);
template void spmm_coo_transposed(Cpu, Matrix<const bf16>, const CooList<bf16>&, Matrix<bf16>);

}  // namespace octet
