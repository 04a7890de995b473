// How quantization rounds: to nearest, or stochastically, so that what is too small for a step of
// the scale survives on average.
//
// Random words come from Philox4x32-10, a bijection of a counter under a key: whoever knows an
// element's coordinates knows its word, so that results depend on no launch shape, no leading
// dimension and no order, and have the same bits on every backend.
//
//   element (i, j) of x[R,C] has word j % 4 of
//     philox4x32_10(counter = {g, g >> 32, offset, offset >> 32}, key = {seed, seed >> 32}),
//     g = i * ceil(C / 4) + j / 4
//   u = (word >> 8) * 2^-24, in [0, 1)
//   q = sign(t) * min(127, floor(|t|) + (|t| - floor(|t|) > u ? 1 : 0)),  t = x * (127 / absmax)
//
// All of it is exact in f32 but t, which is rounded as with nearest. Whole numbers stay as they
// are. The expectation of |q| lies no more than 2^-24 above |t|, where |t| is at most 127.
//
// Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011;
// Gupta et al., "Deep learning with limited numerical precision", 2015.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace octet {

/// To the nearest whole number, ties to even; or up and down by chance, right on average.
enum class Rounding : std::uint8_t { nearest, stochastic };

/// As OCTET_GRADIENT_ROUNDING has it: stochastic.
constexpr std::string_view name(Rounding rounding) {
  return rounding == Rounding::nearest ? "nearest" : "stochastic";
}

/// Which random words an operator draws. The same pair gives the same words in every call, for row
/// and column copies alike; another offset gives words of their own.
struct StochasticRounding {
  std::uint64_t seed = 0, offset = 0;

  /// Member by member.
  bool operator==(const StochasticRounding&) const = default;
};

/// A counter, or the random words that it stands for.
using PhiloxWords = std::array<std::uint32_t, 4>;

/// The words of a counter under a key, as Random123 has them.
constexpr PhiloxWords philox4x32_10(PhiloxWords counter, std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kFirst = 0xd2511f53u, kSecond = 0xcd9e8d57u;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = kFirst * counter[0], second = kSecond * counter[2];
    counter = {static_cast<std::uint32_t>(second >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(second),
               static_cast<std::uint32_t>(first >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(first)};
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
  }
  return counter;
}

/// The words of columns [4 * (j / 4), 4 * (j / 4) + 4) of row i, of a matrix with `cols` columns.
constexpr PhiloxWords rounding_words(const StochasticRounding& rounding, std::int64_t i,
                                     std::int64_t j, std::int64_t cols) {
  const auto group = static_cast<std::uint64_t>(i * ((cols + 3) / 4) + j / 4);
  const auto low = [](std::uint64_t word) { return static_cast<std::uint32_t>(word); };
  return philox4x32_10(
      {low(group), low(group >> 32), low(rounding.offset), low(rounding.offset >> 32)},
      {low(rounding.seed), low(rounding.seed >> 32)});
}

/// q of t, which is finite and of magnitude 2^23 at the most.
constexpr std::int32_t round_stochastically(float t, std::uint32_t word) {
  const float magnitude = t < 0 ? -t : t;
  const auto whole = static_cast<std::int32_t>(magnitude);
  const float u = static_cast<float>(static_cast<std::int32_t>(word >> 8)) * 0x1p-24f;
  const std::int32_t rounded = whole + (magnitude - static_cast<float>(whole) > u ? 1 : 0);
  const std::int32_t q = rounded > 127 ? 127 : rounded;
  return t < 0 ? -q : q;
}

}  // namespace octet
