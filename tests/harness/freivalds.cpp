#include "harness/freivalds.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/parallel.hpp"
#include "harness/random.hpp"
#include "reference/gemm.hpp"

namespace octet::harness {
namespace {

__extension__ using int128 = __int128;

constexpr std::int64_t kPrime = (std::int64_t{1} << 61) - 1;
constexpr std::int64_t kHalfBits = 31;
constexpr std::uint64_t kStream = 0x667265697661u;
constexpr std::int64_t kSlabRows = 4096;
constexpr std::int64_t kPanelCols = 1024;

std::int64_t modulo(int128 x) {
  const auto rest = static_cast<std::int64_t>(x % kPrime);
  return rest < 0 ? rest + kPrime : rest;
}

/// Residues split so that an s8 times a half stays under 2^38 and int64 holds 2^25 of them.
struct Halves {
  std::vector<std::int32_t> low, high;

  explicit Halves(const std::vector<std::int64_t>& residues) {
    low.reserve(residues.size());
    high.reserve(residues.size());
    for (const std::int64_t x : residues) {
      low.push_back(static_cast<std::int32_t>(x & ((std::int64_t{1} << kHalfBits) - 1)));
      high.push_back(static_cast<std::int32_t>(x >> kHalfBits));
    }
  }
};

std::int64_t join(std::int64_t low, std::int64_t high) {
  return modulo(static_cast<int128>(high) * (std::int64_t{1} << kHalfBits) + low);
}

/// b^T . r, by slabs of rows and panels of columns so that few columns still make many tasks.
std::vector<std::int64_t> transposed_times(Matrix<const s8> b, const std::vector<std::int64_t>& r) {
  const Halves halves(r);
  const std::int64_t slabs = (b.rows + kSlabRows - 1) / kSlabRows;
  const std::int64_t panels = (b.cols + kPanelCols - 1) / kPanelCols;
  std::vector<std::int64_t> partial(static_cast<std::size_t>(slabs * b.cols));
  parallel_for(slabs * panels, 1, [&](std::int64_t first, std::int64_t last) {
    std::int64_t low[kPanelCols], high[kPanelCols];
    for (std::int64_t t = first; t < last; ++t) {
      const std::int64_t slab = t / panels, begin = t % panels * kPanelCols;
      const std::int64_t width = std::min(kPanelCols, b.cols - begin);
      std::fill_n(low, width, 0);
      std::fill_n(high, width, 0);
      const std::int64_t end = std::min(b.rows, (slab + 1) * kSlabRows);
      for (std::int64_t n = slab * kSlabRows; n < end; ++n) {
        const s8* row = &b(n, begin);
        const std::int64_t r_low = halves.low[static_cast<std::size_t>(n)];
        const std::int64_t r_high = halves.high[static_cast<std::size_t>(n)];
        for (std::int64_t k = 0; k < width; ++k) {
          low[k] += row[k] * r_low;
          high[k] += row[k] * r_high;
        }
      }
      std::int64_t* out = partial.data() + slab * b.cols + begin;
      for (std::int64_t k = 0; k < width; ++k) out[k] = join(low[k], high[k]);
    }
  });
  std::vector<std::int64_t> sum(static_cast<std::size_t>(b.cols));
  for (std::int64_t k = 0; k < b.cols; ++k) {
    int128 total = 0;
    for (std::int64_t slab = 0; slab < slabs; ++slab) {
      total += partial[static_cast<std::size_t>(slab * b.cols + k)];
    }
    sum[static_cast<std::size_t>(k)] = modulo(total);
  }
  return sum;
}

std::int64_t times(const s8* row, const Halves& v) {
  std::int64_t low = 0, high = 0;
  for (std::size_t k = 0; k < v.low.size(); ++k) {
    low += row[k] * std::int64_t{v.low[k]};
    high += row[k] * std::int64_t{v.high[k]};
  }
  return join(low, high);
}

void require(bool matches, const char* what, std::int64_t value, const char* like,
             std::int64_t expected) {
  if (matches) return;
  throw std::invalid_argument(std::string("freivalds: ") + what + " is " + std::to_string(value) +
                              " but must equal " + like + ", " + std::to_string(expected));
}

}  // namespace

FreivaldsResult freivalds(Matrix<const s8> a, Matrix<const s8> b, Matrix<const s32> d,
                          std::uint64_t seed) {
  require(b.cols == a.cols, "b.cols", b.cols, "a.cols", a.cols);
  require(d.rows == a.rows, "d.rows", d.rows, "a.rows", a.rows);
  require(d.cols == b.rows, "d.cols", d.cols, "b.rows", b.rows);

  std::vector<std::int64_t> r(static_cast<std::size_t>(d.cols));
  const std::uint64_t stream = mix(seed ^ kStream);
  for (std::size_t j = 0; j < r.size(); ++j) {
    r[j] = static_cast<std::int64_t>(word(stream, j) >> 3) % kPrime;
  }
  const Halves v(transposed_times(b, r));

  FreivaldsResult result;
  std::mutex mutex;
  const std::int64_t row_cost = std::max<std::int64_t>(1, d.cols + a.cols);
  const std::int64_t grain = std::max<std::int64_t>(1, 100'000 / row_cost);
  parallel_for(d.rows, grain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t wrong = 0, first = -1, zeros = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      int128 sum = 0;
      const s32* row = d.cols == 0 ? nullptr : &d(i, 0);
      for (std::int64_t j = 0; j < d.cols; ++j) {
        sum += static_cast<int128>(row[j]) * r[static_cast<std::size_t>(j)];
        zeros += row[j] == 0;
      }
      if (modulo(sum) == times(a.data + a.layout(i, 0), v)) continue;
      if (wrong++ == 0) first = i;
    }
    const std::lock_guard lock(mutex);
    result.zeros += zeros;
    result.rows_wrong += wrong;
    if (wrong > 0 && (result.row < 0 || first < result.row)) result.row = first;
  });
  for (std::int64_t j = 0; result.row >= 0 && result.col < 0 && j < d.cols; ++j) {
    const std::int64_t expected = reference::dot_s8(a, b, result.row, j);
    if (expected == d(result.row, j)) continue;
    result.col = j;
    result.expected = expected;
    result.actual = d(result.row, j);
  }
  return result;
}

}  // namespace octet::harness
