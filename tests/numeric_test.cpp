// Storage types and random words. f16 and bf16: every bit pattern, and rounding against a
// definition that shares nothing with the conversions: the nearest of all representable values,
// searched in double; of two equally near ones, the one whose last bit is 0.
#include "octet/numeric.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "harness/random.hpp"
#include "octet/rounding.hpp"
#include "reference/rounding.hpp"

namespace octet {
namespace {

struct F16 {
  using Type = f16;
  static constexpr int kFractionBits = 10, kExponentBits = 5;
};
struct Bf16 {
  using Type = bf16;
  static constexpr int kFractionBits = 7, kExponentBits = 8;
};

/// The value of a finite bit pattern without its sign, from IEEE 754's formula. The pattern of
/// infinity answers 2^(emax + 1), where the next number would lie.
template <class Format>
double magnitude_of(std::uint32_t bits) {
  constexpr int kBias = (1 << (Format::kExponentBits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> Format::kFractionBits);
  const double fraction = bits & ((1u << Format::kFractionBits) - 1);
  const double unit = std::ldexp(1.0, -Format::kFractionBits);
  return exponent == 0 ? std::ldexp(fraction * unit, 1 - kBias)
                       : std::ldexp(1 + fraction * unit, exponent - kBias);
}

template <class Format>
constexpr std::uint32_t kInfinity = ((1u << Format::kExponentBits) - 1) << Format::kFractionBits;

/// Bits of the representable value nearest to x, which is not NaN.
template <class Format>
std::uint16_t nearest(float x) {
  const double target = std::fabs(static_cast<double>(x));
  std::uint32_t low = 0, high = kInfinity<Format>;
  while (high - low > 1) {
    const std::uint32_t middle = (low + high) / 2;
    (magnitude_of<Format>(middle) <= target ? low : high) = middle;
  }
  // Infinity stands where the next number would: IEEE 754 rounds as if the exponent had no end.
  const double below = target - magnitude_of<Format>(low);
  const double above = magnitude_of<Format>(high) - target;
  const bool up = above < below || (above == below && high % 2 == 0);
  return static_cast<std::uint16_t>((std::signbit(x) ? 0x8000u : 0u) | (up ? high : low));
}

template <class Format>
class Numeric : public testing::Test {};
using Formats = testing::Types<F16, Bf16>;
TYPED_TEST_SUITE(Numeric, Formats);

TYPED_TEST(Numeric, EveryPatternHasItsValueAndRoundTrips) {
  using T = typename TypeParam::Type;
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const T x = T::from_bits(static_cast<std::uint16_t>(bits));
    const float value = static_cast<float>(x);
    const std::uint32_t magnitude = bits & 0x7fffu;
    ASSERT_EQ(std::signbit(value), bits >> 15 != 0) << std::hex << bits;
    if (magnitude > kInfinity<TypeParam>) {
      ASSERT_TRUE(std::isnan(value)) << std::hex << bits;
      ASSERT_TRUE(std::isnan(static_cast<float>(T(value)))) << std::hex << bits;
      continue;
    }
    if (magnitude == kInfinity<TypeParam>) {
      ASSERT_TRUE(std::isinf(value)) << std::hex << bits;
    } else {
      ASSERT_EQ(std::fabs(static_cast<double>(value)), magnitude_of<TypeParam>(magnitude))
          << std::hex << bits;
    }
    ASSERT_EQ(T(value).bits, bits) << std::hex << bits;
  }
}

TYPED_TEST(Numeric, RoundsTiesAndTheirNeighboursToEven) {
  using T = typename TypeParam::Type;
  // Between each two neighbours, the last one and infinity included: the tie, and one float away.
  for (std::uint32_t bits = 0; bits < kInfinity<TypeParam>; ++bits) {
    const double middle = (magnitude_of<TypeParam>(bits) + magnitude_of<TypeParam>(bits + 1)) / 2;
    const float tie = static_cast<float>(middle);
    for (const float x : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, HUGE_VALF)}) {
      ASSERT_EQ(T(x).bits, nearest<TypeParam>(x)) << std::hexfloat << x;
      ASSERT_EQ(T(-x).bits, nearest<TypeParam>(-x)) << std::hexfloat << -x;
    }
  }
}

TYPED_TEST(Numeric, RoundsFloatsOfAllMagnitudes) {
  using T = typename TypeParam::Type;
  for (std::uint64_t n = 0; n < 1'000'000; ++n) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(harness::word(1, n)));
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(static_cast<float>(T(x))));
    } else {
      ASSERT_EQ(T(x).bits, nearest<TypeParam>(x)) << std::hexfloat << x;
    }
  }
}

TYPED_TEST(Numeric, EveryNanStaysQuietNanOfItsSign) {
  using T = typename TypeParam::Type;
  for (const std::uint32_t word : {0x7fc00000u, 0x7f800001u, 0x7fffffffu, 0x7f80ffffu, 0xff800001u,
                                   0xffc00000u, 0xffffffffu}) {
    const T x(std::bit_cast<float>(word));
    EXPECT_GT(x.bits & 0x7fffu, kInfinity<TypeParam>) << std::hex << word;
    EXPECT_NE(x.bits & (1u << (TypeParam::kFractionBits - 1)), 0u) << std::hex << word;
    EXPECT_EQ(x.bits >> 15, word >> 31) << std::hex << word;
  }
}

TEST(NumericF16, Landmarks) {
  EXPECT_EQ(f16(0.0f).bits, 0x0000);
  EXPECT_EQ(f16(-0.0f).bits, 0x8000);
  EXPECT_EQ(f16(1.0f).bits, 0x3c00);
  EXPECT_EQ(f16(65504.0f).bits, 0x7bff);
  EXPECT_EQ(f16(std::nextafter(65520.0f, 0.0f)).bits, 0x7bff);
  EXPECT_EQ(f16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(f16(-65520.0f).bits, 0xfc00);
  EXPECT_EQ(f16(0x1p-24f).bits, 0x0001);                        // the smallest subnormal
  EXPECT_EQ(f16(0x1p-25f).bits, 0x0000);                        // a tie with 0, which is even
  EXPECT_EQ(f16(std::nextafter(0x1p-25f, 1.0f)).bits, 0x0001);  // just over it
  EXPECT_EQ(f16(0x1.8p-24f).bits, 0x0002);                      // a tie between subnormals
  EXPECT_EQ(f16(0x1.ffcp-15f).bits, 0x0400);  // from the last subnormal to the first normal number
  EXPECT_EQ(f16(2049.0f).bits, f16(2048.0f).bits);
  EXPECT_EQ(f16(2051.0f).bits, f16(2052.0f).bits);
}

TEST(NumericBf16, Landmarks) {
  EXPECT_EQ(bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(bf16(0x1.01p0f).bits, 0x3f80);  // ties: down to even
  EXPECT_EQ(bf16(0x1.03p0f).bits, 0x3f82);  // and up to even
  EXPECT_EQ(bf16(0x1.fep127f).bits, 0x7f7f);
  EXPECT_EQ(bf16(0x1.ffp127f).bits, 0x7f80);  // the tie between the largest number and infinity
  EXPECT_EQ(bf16(std::numeric_limits<float>::denorm_min()).bits, 0x0000);
}

TEST(NumericF16, ConvertsAtCompileTime) {
  static_assert(f16(1.5f).bits == 0x3e00);
  static_assert(static_cast<float>(f16::from_bits(0x3e00)) == 1.5f);
  static_assert(bf16(1.5f).bits == 0x3fc0);
}

/// The value of a code below NaN's, without its sign.
double e4m3_magnitude(int code) {
  const int exponent = code >> 3, fraction = code & 7;
  return exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
}

/// The code whose value is nearest to x, which is not NaN, of all there are; of two as near, the
/// even one.
int nearest_e4m3(float x) {
  const double target = std::fabs(static_cast<double>(x));
  int best = 0;
  for (int code = 1; code < 0x7f; ++code) {
    const double is = std::fabs(target - e4m3_magnitude(code)),
                 was = std::fabs(target - e4m3_magnitude(best));
    if (is < was || (is == was && code % 2 == 0)) best = code;
  }
  return (std::signbit(x) ? 0x80 : 0) | best;
}

TEST(NumericE4m3, EveryCodeHasItsValueAndRoundTrips) {
  for (int code = 0; code <= 0xff; ++code) {
    const e4m3 x = e4m3::from_bits(static_cast<std::uint8_t>(code));
    const float value = static_cast<float>(x);
    ASSERT_EQ(std::signbit(value), code >= 0x80) << std::hex << code;
    if ((code & 0x7f) == 0x7f) {
      ASSERT_TRUE(std::isnan(value)) << std::hex << code;
    } else {
      ASSERT_EQ(std::fabs(static_cast<double>(value)), e4m3_magnitude(code & 0x7f))
          << std::hex << code;
    }
    ASSERT_EQ(int{e4m3(value).bits}, code) << std::hex << code;
  }
}

TEST(NumericE4m3, RoundsEveryF16) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float x = static_cast<float>(f16::from_bits(static_cast<std::uint16_t>(bits)));
    if (std::isnan(x)) {
      ASSERT_EQ(e4m3(x).bits & 0x7f, 0x7f) << std::hex << bits;
    } else {
      ASSERT_EQ(int{e4m3(x).bits}, nearest_e4m3(x)) << std::hexfloat << x;
    }
  }
}

TEST(NumericE4m3, RoundsTiesAndTheirNeighboursToEven) {
  for (int code = 0; code < 0x7e; ++code) {
    const auto tie = static_cast<float>((e4m3_magnitude(code) + e4m3_magnitude(code + 1)) / 2);
    for (const float x : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, HUGE_VALF)}) {
      ASSERT_EQ(int{e4m3(x).bits}, nearest_e4m3(x)) << std::hexfloat << x;
      ASSERT_EQ(int{e4m3(-x).bits}, nearest_e4m3(-x)) << std::hexfloat << -x;
    }
  }
}

TEST(NumericE4m3, RoundsFloatsOfAllMagnitudes) {
  for (std::uint64_t n = 0; n < 100'000; ++n) {
    const float any = std::bit_cast<float>(static_cast<std::uint32_t>(harness::word(1, n)));
    // Most floats are far from every code: the second one's exponent is near theirs.
    const float near =
        std::ldexp(1 + static_cast<float>(n % 8191) / 8191, static_cast<int>(n % 24) - 12);
    for (const float x : {any, near, -near}) {
      if (std::isnan(x)) {
        ASSERT_EQ(e4m3(x).bits & 0x7f, 0x7f);
      } else {
        ASSERT_EQ(int{e4m3(x).bits}, nearest_e4m3(x)) << std::hexfloat << x;
      }
    }
  }
}

TEST(NumericE4m3, Landmarks) {
  EXPECT_EQ(e4m3(1.0f).bits, 0x38);
  EXPECT_EQ(e4m3(448.0f).bits, 0x7e);
  EXPECT_EQ(e4m3(464.0f).bits, 0x7e);  // the tie with 480, which there is not
  EXPECT_EQ(e4m3(1e9f).bits, 0x7e);
  EXPECT_EQ(e4m3(-HUGE_VALF).bits, 0xfe);
  EXPECT_EQ(e4m3(-0.0f).bits, 0x80);
  EXPECT_EQ(e4m3(0x1p-9f).bits, 0x01);
  EXPECT_EQ(e4m3(0x1p-10f).bits, 0x00);   // a tie with 0
  EXPECT_EQ(e4m3(0x1.ep-7f).bits, 0x08);  // from the last subnormal to the first normal number
  EXPECT_EQ(e4m3(-0x1p-30f).bits, 0x80);
  static_assert(e4m3(1.5f).bits == 0x3c);
  static_assert(static_cast<float>(e4m3::from_bits(0x3c)) == 1.5f);
}

TEST(NumericDType, NamesAndSizes) {
  EXPECT_EQ(name(DType::s8), "s8");
  EXPECT_EQ(name(DType::s32), "s32");
  EXPECT_EQ(name(DType::f16), "f16");
  EXPECT_EQ(name(DType::bf16), "bf16");
  EXPECT_EQ(name(DType::f32), "f32");
  EXPECT_EQ(name(DType::e4m3), "e4m3");
  EXPECT_EQ(size_of(kDType<s8>), 1);
  EXPECT_EQ(size_of(kDType<e4m3>), 1);
  EXPECT_EQ(size_of(kDType<s32>), 4);
  EXPECT_EQ(size_of(kDType<f16>), 2);
  EXPECT_EQ(size_of(kDType<bf16>), 2);
  EXPECT_EQ(size_of(kDType<f32>), 4);
}

/// The known answers that Philox's authors publish (Random123, kat_vectors): counter, key, words.
struct KnownAnswer {
  PhiloxWords counter;
  std::array<std::uint32_t, 2> key;
  PhiloxWords words;
};
constexpr std::array kKnownAnswers = {
    KnownAnswer{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    KnownAnswer{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                {0xffffffff, 0xffffffff},
                {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    KnownAnswer{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                {0xa4093822, 0x299f31d0},
                {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};

TEST(Philox, GivesThePublishedAnswers) {
  static_assert(philox4x32_10(kKnownAnswers[0].counter, kKnownAnswers[0].key) ==
                kKnownAnswers[0].words);
  for (const KnownAnswer& k : kKnownAnswers) {
    EXPECT_EQ(philox4x32_10(k.counter, k.key), k.words);
    EXPECT_EQ(reference::philox4x32_10(k.counter, k.key), k.words);
  }
}

TEST(Philox, CounterAndKeyAreMadeOfEveryBit) {
  constexpr std::uint64_t kSeed = 0x299f31d0a4093822, kOffset = 0x0370734413198a2e;
  // The third known answer's counter, as the group of an element: 0x85a308d3243f6a88 is negative.
  constexpr std::int64_t kGroup = 0x05a308d3243f6a88;
  EXPECT_EQ(
      rounding_words({kSeed, kOffset}, kGroup, 0, 1),
      philox4x32_10({0x243f6a88, 0x05a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}));
  // A group does not reach over the end of a row, and rows that differ by 2^32 groups differ.
  for (const std::int64_t cols : {1, 3, 4, 5, 8}) {
    EXPECT_NE(rounding_words({1, 2}, 0, cols - 1, cols), rounding_words({1, 2}, 1, 0, cols));
    EXPECT_NE(rounding_words({1, 2}, std::int64_t{1} << 32, 0, cols),
              rounding_words({1, 2}, 0, 0, cols));
    for (const std::int64_t row : {std::int64_t{0}, std::int64_t{5}, std::int64_t{1} << 33}) {
      for (std::int64_t j = 0; j < cols; ++j) {
        EXPECT_EQ(rounding_words({kSeed, kOffset}, row, j, cols)[static_cast<std::size_t>(j % 4)],
                  reference::rounding_word(kSeed, kOffset, row, j, cols));
      }
    }
  }
}

/// Against the reference at every fraction that matters: whole numbers, just beside them, halves,
/// just under and over 127, and the words around each fraction.
TEST(RoundStochastically, IsWhatTheReferenceSays) {
  std::vector<float> magnitudes = {0.0f, 0x1p-149f, 0x1p-24f, 0x1p-23f, 0.3f, 0.5f, 0x1.fffffep-1f};
  for (const float whole : {1.0f, 2.0f, 63.0f, 126.0f, 127.0f}) {
    for (const float toward : {0.0f, 1000.0f}) {
      magnitudes.push_back(std::nextafter(whole, toward));
    }
    magnitudes.push_back(whole);
    magnitudes.push_back(whole - 0.5f);
  }
  magnitudes.push_back(127.00002f);
  std::vector<std::uint32_t> words = {0, 255, 256, 0x7fffffff, 0x80000000, 0xfffffeff, 0xffffffff};
  for (std::uint64_t n = 0; n < 1000; ++n) {
    words.push_back(static_cast<std::uint32_t>(harness::word(1, n)));
  }
  for (const float magnitude : magnitudes) {
    for (const float t : {magnitude, -magnitude}) {
      for (const std::uint32_t word : words) {
        ASSERT_EQ(round_stochastically(t, word),
                  reference::quantize_stochastically_by(t, 1.0f, word))
            << t << ' ' << word;
      }
    }
  }
  EXPECT_EQ(round_stochastically(127.00002f, 0), 127);
  EXPECT_EQ(round_stochastically(-0.5f, 0), -1);
  EXPECT_EQ(round_stochastically(-0.5f, 0x80000000), 0);
  EXPECT_EQ(round_stochastically(0x1p-149f, 0), 1);  // u is 0: one word in 2^24
}

}  // namespace
}  // namespace octet
