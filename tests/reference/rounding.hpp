// The truth about stochastic rounding (octet/rounding.hpp): scalar, by coordinate.
//
// Philox as its authors write it down: ten rounds of two 32 x 32 -> 64-bit products each, their
// high halves mixed with the other words and the key, which is bumped after each round. Calls no
// kernel and is never tuned.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace octet::reference {

inline std::array<std::uint32_t, 4> philox4x32_10(const std::array<std::uint32_t, 4>& counter,
                                                  const std::array<std::uint32_t, 2>& key) {
  std::uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  std::uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c0, p1 = std::uint64_t{0xCD9E8D57} * c2;
    const auto high0 = static_cast<std::uint32_t>(p0 >> 32);
    const auto high1 = static_cast<std::uint32_t>(p1 >> 32);
    c0 = high1 ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(p1);
    c2 = high0 ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {c0, c1, c2, c3};
}

/// The random word of element (i, j) of a matrix with `cols` columns.
inline std::uint32_t rounding_word(std::uint64_t seed, std::uint64_t offset, std::int64_t i,
                                   std::int64_t j, std::int64_t cols) {
  const std::int64_t groups_of_row = cols / 4 + (cols % 4 != 0);
  const auto group = static_cast<std::uint64_t>(i * groups_of_row + j / 4);
  constexpr std::uint64_t kLow = 0xFFFFFFFF;
  const std::array<std::uint32_t, 4> words = philox4x32_10(
      {static_cast<std::uint32_t>(group & kLow), static_cast<std::uint32_t>(group >> 32),
       static_cast<std::uint32_t>(offset & kLow), static_cast<std::uint32_t>(offset >> 32)},
      {static_cast<std::uint32_t>(seed & kLow), static_cast<std::uint32_t>(seed >> 32)});
  return words[static_cast<std::size_t>(j % 4)];
}

/// q of x given multiplier(absmax) and its random word.
inline std::int8_t quantize_stochastically_by(float x, float multiplier, std::uint32_t word) {
  if (multiplier == 0) return 0;
  const float t = x * multiplier;
  const double magnitude = std::fabs(static_cast<double>(t)), whole = std::floor(magnitude);
  const double u = std::ldexp(static_cast<double>(word / 256), -24);
  const double rounded = std::fmin(magnitude - whole > u ? whole + 1 : whole, 127.0);
  return static_cast<std::int8_t>(std::copysign(rounded, static_cast<double>(t)));
}

}  // namespace octet::reference
