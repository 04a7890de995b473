// Properties: what holds for any call of an operator that its contract allows, asked of random
// ones.
//
// A trial is one call: shapes, leading dimensions, layouts, alignment and data all follow from
// (seed, property, index), so that one trial can be run again alone. Trials lie in one piece of
// memory, which goes to the device, through all of their calls and back at once: small problems
// would otherwise wait for copies and synchronization more than they compute.
//
// What a call must not write is compared byte by byte with what it was: inputs, the gaps of leading
// dimensions, and what lies between tensors.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/check.hpp"
#include "harness/random.hpp"
#include "octet/backend.hpp"
#include "octet/buffer.hpp"
#include "octet/gemm.hpp"
#include "octet/matrix.hpp"

namespace octet::harness {

/// Random choices of one trial.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : seed_(seed) {}

  std::uint64_t bits() { return word(seed_, drawn_++); }
  /// 0 <= result < bound.
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(bound));
  }
  bool once_in(std::int64_t n) { return below(n) == 0; }

  /// Mostly next to a multiple of what kernels' tiles are made of; sometimes 0 or 1.
  std::int64_t extent(std::int64_t most) {
    constexpr std::int64_t kTiles[] = {4, 8, 16, 32, 64, 128, 256};
    switch (below(8)) {
      case 0:
        return once_in(4) ? 0 : 1 + below(4);
      case 1:
      case 2:
        return 1 + below(most);
      case 3:
        return 1 + below(std::min<std::int64_t>(most, 40));
      default:
        break;
    }
    const std::int64_t tile = kTiles[below(std::size(kTiles))];
    const std::int64_t tiles = 1 + below(std::max<std::int64_t>(1, most / tile));
    return std::clamp<std::int64_t>(tile * tiles - 1 + below(3), 0, most);
  }
  /// Rows and columns of at most kMostElements; now and then a line.
  std::pair<std::int64_t, std::int64_t> extents() {
    constexpr std::int64_t kMost = 400, kLine = 9000, kMostElements = 24000;
    std::int64_t rows = extent(kMost), cols = extent(kMost);
    if (once_in(12)) {
      rows = extent(4);
      cols = extent(kLine);
    } else if (once_in(12)) {
      rows = extent(kLine);
      cols = extent(4);
    }
    std::int64_t& larger = rows > cols ? rows : cols;
    if (rows * cols > kMostElements) larger = kMostElements / std::min(rows, cols);
    return {rows, cols};
  }
  /// Elements between the end of a line and the next: none, some, or up to an aligned one.
  std::int64_t padding(std::int64_t line) {
    switch (below(3)) {
      case 0:
        return 1 + below(9);
      case 1:
        return (line + 15) / 16 * 16 - line;
      default:
        return 0;
    }
  }

 private:
  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;
};

/// What a tensor of a trial is filled with.
enum class Values { gaussian, zeros, subnormal, extreme, bits, spoilt, ties };

/// Values that a contract with NaN and infinities takes.
inline Values any_values(Draw& draw) {
  constexpr Values kAll[] = {Values::gaussian, Values::gaussian,  Values::gaussian,
                             Values::zeros,    Values::subnormal, Values::extreme,
                             Values::bits,     Values::spoilt,    Values::ties};
  return kAll[draw.below(std::size(kAll))];
}

/// T from random bits, whatever they mean.
template <class T>
T from_random_bits(std::uint64_t random) {
  if constexpr (sizeof(T) == 2) {
    return T::from_bits(static_cast<std::uint16_t>(random));
  } else {
    return std::bit_cast<T>(static_cast<std::uint32_t>(random));
  }
}

/// Fills rows x cols elements. T is f16, bf16 or f32.
template <class T, class L>
void fill_values(Draw& draw, Matrix<T, L> m, Values values, float scale = 1.0f) {
  constexpr float kLargest = std::is_same_v<T, f16>    ? 65504.0f
                             : std::is_same_v<T, bf16> ? 0x1.fep127f
                                                       : std::numeric_limits<float>::max();
  const std::vector<double>& quantiles = normal_quantiles();
  const std::uint64_t seed = draw.bits();
  const auto gaussian = [&](std::uint64_t random) {
    return T(scale * static_cast<float>(quantiles[random % quantiles.size()]));
  };
  const auto value = [&](std::uint64_t r) -> T {
    const std::uint64_t kind = r >> 40;
    switch (values) {
      case Values::gaussian:
        break;
      case Values::zeros:
        return T(kind % 7 == 0 ? -0.0f : 0.0f);
      case Values::subnormal: {
        // The lowest bits alone, and their sign.
        const std::uint64_t sign = std::uint64_t{1} << (8 * sizeof(T) - 1);
        return from_random_bits<T>((r & 0x7f) | (kind % 2 == 0 ? sign : 0));
      }
      case Values::extreme:
        if (kind % 5 == 0) return T(kind % 2 == 0 ? kLargest : -kLargest);
        if (kind % 5 == 1) return from_random_bits<T>(1);
        break;
      case Values::bits:
        return from_random_bits<T>(r);
      case Values::spoilt:
        if (kind % 97 == 0) return T(std::numeric_limits<float>::quiet_NaN());
        if (kind % 97 == 1) return T(std::numeric_limits<float>::infinity());
        if (kind % 97 == 2) return T(-std::numeric_limits<float>::infinity());
        break;
      case Values::ties:
        return T(static_cast<float>(static_cast<std::int64_t>(r % 255) - 127) * 0.5f);
    }
    return gaussian(r);
  };
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < m.cols; ++j) {
      m(i, j) = value(word(seed, static_cast<std::uint64_t>(i * m.cols + j)));
    }
  }
  // A line of its own kind among others, as real tensors have them.
  if (m.rows > 1 && m.cols > 0 && draw.once_in(3)) {
    const std::int64_t i = draw.below(m.rows);
    for (std::int64_t j = 0; j < m.cols; ++j) m(i, j) = T(0.0f);
  }
}

/// A tensor of a trial: where in the memory it lies.
template <class T, class L = RowMajor>
struct Placed {
  std::int64_t offset = 0, rows = 0, cols = 0;
  L layout{};
  std::int64_t count = 1, stride = 0;

  Matrix<T, L> in(unsigned char* memory) const {
    return {reinterpret_cast<T*>(memory + offset), rows, cols, layout};
  }
  Matrix<const T, L> in(const unsigned char* memory) const {
    return {reinterpret_cast<const T*>(memory + offset), rows, cols, layout};
  }
  Batch<T, L> batch(unsigned char* memory) const { return {in(memory), count, stride}; }
  Batch<const T, L> batch(const unsigned char* memory) const { return {in(memory), count, stride}; }
  /// Of one row.
  Vector<T> vector(unsigned char* memory) const { return {in(memory).data, cols}; }
  Vector<const T> vector(const unsigned char* memory) const { return {in(memory).data, cols}; }
};

/// The memory of many trials. Everything reads as NaN (or -1) until it is filled; what is to be
/// written is poisoned.
class Arena {
 public:
  explicit Arena(std::int64_t bytes) : memory_(Cpu{}, bytes) { clear(); }

  void clear() {
    std::memset(memory_.data(), kUntouched, static_cast<std::size_t>(memory_.size()));
    used_ = 0;
    written_.clear();
  }
  unsigned char* data() const { return memory_.data(); }
  std::int64_t used() const { return used_; }

  /// `shift` elements behind an address aligned to 256 bytes.
  template <class T, class L = RowMajor>
  Placed<T, L> place(std::int64_t rows, std::int64_t cols, L layout, std::int64_t shift = 0,
                     std::int64_t count = 1, std::int64_t stride = 0) {
    const std::int64_t elements =
        count == 0 ? 0 : (count - 1) * stride + layout.capacity(rows, cols);
    const std::int64_t offset =
        (used_ + kApart + 255) / 256 * 256 + shift * static_cast<std::int64_t>(sizeof(T));
    used_ = offset + elements * static_cast<std::int64_t>(sizeof(T)) + kApart;
    if (used_ > memory_.size()) throw std::bad_alloc();
    return {offset, rows, cols, layout, count, stride};
  }
  template <class T>
  Placed<T> place_vector(std::int64_t length, std::int64_t shift = 0) {
    return place<T>(1, length, RowMajor{length}, shift);
  }

  /// Its elements may be written, with `poison` they are poisoned; of a tiled layout all of it.
  template <class T, class L>
  void allow(const Placed<T, L>& p, bool poison = true) {
    constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
    const std::int64_t capacity = p.layout.capacity(p.rows, p.cols);
    if (p.rows == 0 || p.cols == 0) return;
    for (std::int64_t n = 0; n < p.count; ++n) {
      const std::int64_t first = p.offset + n * p.stride * kSize;
      if constexpr (std::is_same_v<L, RowMajor> || std::is_same_v<L, ColMajor>) {
        const bool by_rows = std::is_same_v<L, RowMajor>;
        const std::int64_t lines = by_rows ? p.rows : p.cols, line = by_rows ? p.cols : p.rows;
        for (std::int64_t i = 0; i < lines; ++i) {
          allow(first + i * p.layout.ld * kSize, line * kSize, poison);
        }
      } else {
        allow(first, capacity * kSize, poison);
      }
    }
  }

  /// The first byte in [begin, end) that changed and must not have.
  std::optional<std::int64_t> damage(const unsigned char* after, std::int64_t begin,
                                     std::int64_t end) {
    std::sort(written_.begin(), written_.end());
    auto range = std::lower_bound(written_.begin(), written_.end(), std::pair{begin, begin});
    std::int64_t at = begin;
    while (at < end) {
      const std::int64_t stop = range == written_.end() ? end : std::min(end, range->first);
      if (stop > at &&
          std::memcmp(data() + at, after + at, static_cast<std::size_t>(stop - at)) != 0) {
        while (data()[at] == after[at]) ++at;
        return at;
      }
      if (range == written_.end() || stop == end) break;
      at = std::max(at, range->second);
      ++range;
    }
    return std::nullopt;
  }

 private:
  static constexpr unsigned char kUntouched = 0xff, kPoison = 0xa5;
  static constexpr std::int64_t kApart = 128;

  void allow(std::int64_t begin, std::int64_t bytes, bool poison) {
    if (poison) std::memset(data() + begin, kPoison, static_cast<std::size_t>(bytes));
    written_.emplace_back(begin, begin + bytes);
  }

  Buffer<Cpu, unsigned char> memory_;
  std::int64_t used_ = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> written_;
};

/// One call, and what is true afterwards. `run` gets the backend's copy of the arena, `verify` the
/// arena before and after.
template <class B>
struct Trial {
  std::string text;  // of the problem, for people
  std::function<void(B, unsigned char*)> run;
  std::function<Check(const unsigned char* before, const unsigned char* after)> verify;
};

}  // namespace octet::harness
