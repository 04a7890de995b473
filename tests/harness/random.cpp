#include "harness/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "harness/parallel.hpp"

namespace octet::harness {
namespace {

constexpr std::int64_t kTableSize = 65536;
constexpr double kOutlierFactor = 20;
constexpr std::uint64_t kOutlierEvery = 256;
constexpr double kIntegersDeviation = 73.6;  // of the predecessor's randint(-128, 127)
constexpr double kQuantizedAbsmax = 4.3;     // standard deviations that 127 stands for
constexpr std::int64_t kSegment = 1 << 18;   // elements of a row that one task fills
constexpr std::uint64_t kOutlierStream = 0x6f75746c69657273u;

constexpr std::array<std::pair<Distribution, std::string_view>, 3> kNames = {
    {{Distribution::gaussian, "gaussian"},
     {Distribution::outlier_channels, "outlier_channels"},
     {Distribution::integers, "integers"}}};

/// The upper half solves x' = 1 / phi(x) in p, with phi' = -x in p: classical Runge-Kutta on the
/// pair (x, phi) from p = 1/2 needs only additions, multiplications and divisions, which IEEE 754
/// makes the same everywhere, unlike the logarithm of every closed form.
std::vector<double> make_normal_quantiles() {
  constexpr int kSubsteps = 16;
  constexpr double kStep = 0x1p-17 / kSubsteps;
  std::vector<double> quantiles(kTableSize);
  double x = 0, phi = 0.3989422804014327;  // 1 / sqrt(2 pi)
  for (std::int64_t bin = kTableSize / 2; bin < kTableSize; ++bin) {
    // Half a bin from the centre to the first midpoint, a whole one between midpoints.
    const int steps = bin == kTableSize / 2 ? kSubsteps : 2 * kSubsteps;
    for (int s = 0; s < steps; ++s) {
      const double x1 = 1 / phi, phi1 = -x;
      const double x2 = 1 / (phi + kStep / 2 * phi1), phi2 = -(x + kStep / 2 * x1);
      const double x3 = 1 / (phi + kStep / 2 * phi2), phi3 = -(x + kStep / 2 * x2);
      const double x4 = 1 / (phi + kStep * phi3), phi4 = -(x + kStep * x3);
      x += kStep / 6 * (x1 + 2 * x2 + 2 * x3 + x4);
      phi += kStep / 6 * (phi1 + 2 * phi2 + 2 * phi3 + phi4);
    }
    quantiles[static_cast<std::size_t>(bin)] = x;
    quantiles[static_cast<std::size_t>(kTableSize - 1 - bin)] = -x;
  }
  return quantiles;
}

template <class T>
std::vector<T> gaussian_table(double scale) {
  std::vector<T> table(kTableSize);
  std::transform(normal_quantiles().begin(), normal_quantiles().end(), table.begin(),
                 [&](double q) { return T(static_cast<float>(q * scale)); });
  return table;
}

template <class T>
std::vector<T> integer_table(double scale) {
  std::vector<T> table(kTableSize);
  for (std::int64_t n = 0; n < kTableSize; ++n) {
    table[static_cast<std::size_t>(n)] =
        T(static_cast<float>(static_cast<double>(n / 256 - 128) * scale));
  }
  return table;
}

template <class T>
T select(const T* table, std::uint64_t seed, std::uint64_t n) {
  return table[word(seed, n / 4) >> (n % 4 * 16) & 0xffffu];
}

/// Elements [begin, end) of the stream into out.
template <class T>
void select_range(const T* table, std::uint64_t seed, std::uint64_t begin, std::uint64_t end,
                  T* out) {
  std::uint64_t n = begin;
  for (; n < end && n % 4 != 0; ++n) *out++ = select(table, seed, n);
  for (; n + 4 <= end; n += 4, out += 4) {
    const std::uint64_t w = word(seed, n / 4);
    const T v0 = table[w & 0xffffu], v1 = table[w >> 16 & 0xffffu], v2 = table[w >> 32 & 0xffffu],
            v3 = table[w >> 48];
    out[0] = v0;
    out[1] = v1;
    out[2] = v2;
    out[3] = v3;
  }
  for (; n < end; ++n) *out++ = select(table, seed, n);
}

/// body(i, begin, end) for segments of every row, in parallel.
template <class Body>
void for_each_segment(std::int64_t rows, std::int64_t cols, const Body& body) {
  if (rows <= 0 || cols <= 0) return;
  const std::int64_t segments = (cols - 1) / kSegment + 1;
  const std::int64_t grain = std::max<std::int64_t>(1, kSegment / std::min(cols, kSegment));
  parallel_for(rows * segments, grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t t = first; t < last; ++t) {
      const std::int64_t begin = t % segments * kSegment;
      body(t / segments, begin, std::min(cols, begin + kSegment));
    }
  });
}

void fill_from_table(Matrix<s8> host, const std::vector<s8>& table, std::uint64_t seed) {
  for_each_segment(host.rows, host.cols, [&](std::int64_t i, std::int64_t begin, std::int64_t end) {
    const std::uint64_t row = static_cast<std::uint64_t>(i * host.cols);
    select_range(table.data(), seed, row + static_cast<std::uint64_t>(begin),
                 row + static_cast<std::uint64_t>(end), &host(i, begin));
  });
}

}  // namespace

std::uint64_t seed_from(std::string_view name, std::uint64_t user_seed) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix(mix(hash) + user_seed);
}

std::string_view name(Distribution distribution) {
  for (const auto& [value, text] : kNames) {
    if (value == distribution) return text;
  }
  throw std::invalid_argument("name: distribution " +
                              std::to_string(static_cast<int>(distribution)) + " is unknown");
}

Distribution distribution_from_name(std::string_view name) {
  std::string known;
  for (const auto& [value, text] : kNames) {
    if (text == name) return value;
    known.append(known.empty() ? "" : ", ").append(text);
  }
  throw std::invalid_argument("distribution_from_name: '" + std::string(name) + "' is none of " +
                              known);
}

const std::vector<double>& normal_quantiles() {
  static const std::vector<double> quantiles = make_normal_quantiles();
  return quantiles;
}

template <class T>
Source<T>::Source(Distribution distribution, float scale, std::uint64_t seed, std::int64_t cols)
    : seed_(seed),
      cols_(cols),
      table_(distribution == Distribution::integers ? integer_table<T>(scale / kIntegersDeviation)
                                                    : gaussian_table<T>(scale)) {
  if (distribution != Distribution::outlier_channels || cols <= 0) return;
  outlier_table_ = gaussian_table<T>(scale * kOutlierFactor);
  const std::uint64_t stream = mix(seed ^ kOutlierStream);
  const auto always = static_cast<std::int64_t>(mix(stream) % static_cast<std::uint64_t>(cols));
  for (std::int64_t j = 0; j < cols; ++j) {
    if (j == always || word(stream, static_cast<std::uint64_t>(j)) % kOutlierEvery == 0) {
      outlier_columns_.push_back(j);
    }
  }
}

template <class T>
T Source<T>::operator()(std::int64_t i, std::int64_t j) const {
  const bool outlier = std::binary_search(outlier_columns_.begin(), outlier_columns_.end(), j);
  return select((outlier ? outlier_table_ : table_).data(), seed_,
                static_cast<std::uint64_t>(i * cols_ + j));
}

template <class T>
void Source<T>::fill_row(std::int64_t i, std::int64_t begin, std::int64_t end, T* row) const {
  const std::uint64_t base = static_cast<std::uint64_t>(i * cols_);
  select_range(table_.data(), seed_, base + static_cast<std::uint64_t>(begin),
               base + static_cast<std::uint64_t>(end), row + begin);
  for (auto j = std::lower_bound(outlier_columns_.begin(), outlier_columns_.end(), begin);
       j != outlier_columns_.end() && *j < end; ++j) {
    row[*j] = select(outlier_table_.data(), seed_, base + static_cast<std::uint64_t>(*j));
  }
}

template <class T>
void fill(Matrix<T> host, Distribution distribution, float scale, std::uint64_t seed) {
  if (host.empty()) return;
  const Source<T> source(distribution, scale, seed, host.cols);
  for_each_segment(host.rows, host.cols, [&](std::int64_t i, std::int64_t begin, std::int64_t end) {
    source.fill_row(i, begin, end, &host(i, 0));
  });
}

void fill_s8(Matrix<s8> host, std::uint64_t seed) {
  static const std::vector<s8> table = [] {
    std::vector<s8> values(kTableSize);
    std::transform(normal_quantiles().begin(), normal_quantiles().end(), values.begin(),
                   [](double q) {
                     const double scaled = std::nearbyint(q * (127 / kQuantizedAbsmax));
                     return static_cast<s8>(std::clamp(scaled, -127.0, 127.0));
                   });
    return values;
  }();
  fill_from_table(host, table, seed);
}

void fill_s8_uniform(Matrix<s8> host, std::uint64_t seed) {
  static const std::vector<s8> table = [] {
    std::vector<s8> values(kTableSize);
    for (std::int64_t n = 0; n < kTableSize; ++n) {
      values[static_cast<std::size_t>(n)] = static_cast<s8>(n / 256 - 128);
    }
    return values;
  }();
  fill_from_table(host, table, seed);
}

void fill_s32(Matrix<s32> host, std::int64_t magnitude, std::uint64_t seed) {
  if (magnitude < 0 || magnitude > std::numeric_limits<s32>::max()) {
    throw std::invalid_argument("fill_s32: magnitude is " + std::to_string(magnitude) +
                                " but must lie in [0, 2^31 - 1]");
  }
  const auto width = static_cast<std::uint64_t>(2 * magnitude + 1);
  for_each_segment(host.rows, host.cols, [&](std::int64_t i, std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) {
      const std::uint64_t high = word(seed, static_cast<std::uint64_t>(i * host.cols + j)) >> 32;
      host(i, j) = static_cast<s32>(static_cast<std::int64_t>(high * width >> 32) - magnitude);
    }
  });
}

template class Source<f16>;
template class Source<bf16>;
template class Source<f32>;
template void fill(Matrix<f16>, Distribution, float, std::uint64_t);
template void fill(Matrix<bf16>, Distribution, float, std::uint64_t);
template void fill(Matrix<f32>, Distribution, float, std::uint64_t);

}  // namespace octet::harness
