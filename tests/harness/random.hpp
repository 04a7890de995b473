// Random data that follows from (seed, element) alone: the same bits on every machine, for any
// number of threads, and again for any single coordinate.
//
// Element (i, j) of C columns has the index n = i C + j. A 64-bit mix of the seed and n / 4 gives
// four 16-bit numbers; number n % 4 selects from a table of 65,536 values already rounded to the
// type. The gaussian table holds the quantiles at the midpoints of 65,536 equally probable bins, so
// magnitudes end at 4.33 standard deviations.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet::harness {

/// A bijection of 64-bit words in which every output bit depends on every input bit (Steele, Lea
/// and Flood, "Fast splittable pseudorandom number generators", 2014; SplitMix64's finalizer).
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// The n-th word of a seed's stream.
constexpr std::uint64_t word(std::uint64_t seed, std::uint64_t n) {
  return mix(seed + (n + 1) * 0x9e3779b97f4a7c15u);
}

/// A seed of its own for each test.
std::uint64_t seed_from(std::string_view name, std::uint64_t user_seed);

enum class Distribution {
  gaussian,          // N(0, 1) * scale
  outlier_channels,  // gaussian, but about one column in 256, at least one, is 20 times as large
  integers,          // uniform integers in [-128, 127], times scale / 73.6
};
std::string_view name(Distribution distribution);
/// Throws std::invalid_argument that lists the names there are.
Distribution distribution_from_name(std::string_view name);

/// The 65,536 quantiles of N(0, 1), ascending.
const std::vector<double>& normal_quantiles();

/// Values of a matrix of `cols` columns. T is f16, bf16 or f32.
template <class T>
class Source {
 public:
  Source(Distribution distribution, float scale, std::uint64_t seed, std::int64_t cols);

  T operator()(std::int64_t i, std::int64_t j) const;
  /// Columns [begin, end) of row i into row[begin, end).
  void fill_row(std::int64_t i, std::int64_t begin, std::int64_t end, T* row) const;
  /// Ascending; empty unless the distribution has outlier channels.
  const std::vector<std::int64_t>& outlier_columns() const { return outlier_columns_; }

 private:
  std::uint64_t seed_;
  std::int64_t cols_;
  std::vector<T> table_;
  std::vector<T> outlier_table_;
  std::vector<std::int64_t> outlier_columns_;
};

/// Fills a host matrix; what lies between its rows is left as it is. T is f16, bf16 or f32.
template <class T>
void fill(Matrix<T> host, Distribution distribution, float scale, std::uint64_t seed);

/// What quantization makes of a gaussian: standard deviation 127 / 4.3, within [-127, 127].
void fill_s8(Matrix<s8> host, std::uint64_t seed);
/// Uniform in [-128, 127].
void fill_s8_uniform(Matrix<s8> host, std::uint64_t seed);
/// Uniform in [-magnitude, magnitude], 0 <= magnitude < 2^31.
void fill_s32(Matrix<s32> host, std::int64_t magnitude, std::uint64_t seed);

}  // namespace octet::harness
