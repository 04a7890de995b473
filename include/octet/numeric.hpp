// The storage types of int8 training and their conversions.
//
// f16 is IEEE 754-2008 binary16, bf16 is the upper half of binary32 (Intel, "BFLOAT16 - Hardware
// Numerics Definition", 2018), e4m3 the eight-bit type of that name in OCP's "8-bit Floating Point
// Specification", 2023. All are storage only: arithmetic happens in float. Every conversion to a
// narrower type rounds once, to nearest, ties to even, and is bit-exact on every backend.
// Conversions select instead of branching, so that loops over them become vector code.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace octet {

/// The other element types.
using s8 = std::int8_t;
using s32 = std::int32_t;
using f32 = float;

/// binary16, by its bits; uninitialized by default.
struct f16 {
  std::uint16_t bits;

  /// Uninitialized.
  f16() = default;
  /// Rounds to nearest even; magnitudes of 65520 and above become infinity, NaN stays (quiet) NaN.
  constexpr explicit f16(float value) : bits(round(value)) {}
  static constexpr f16 from_bits(std::uint16_t bits) {
    f16 x;
    x.bits = bits;
    return x;
  }

  /// Exact.
  constexpr explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t magnitude = bits & 0x7fffu;
    // Moving exponent and fraction into place leaves a float that is 2^112 too small, subnormals
    // included; the multiplication is exact.
    const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
    const std::uint32_t number = std::bit_cast<std::uint32_t>(scaled);
    const std::uint32_t infinite = 0x7f800000u | (magnitude & 0x3ffu) << 13;  // or NaN
    return std::bit_cast<float>(sign | (magnitude < 0x7c00u ? number : infinite));
  }

 private:
  static constexpr std::uint16_t round(float value) {
    const std::uint32_t word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = word & 0x7fffffffu;
    const std::uint32_t odd = (magnitude >> 13) & 1u;
    const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + odd) >> 13;
    // Adding 1/2 makes the float adder round at the last bit of an f16 subnormal.
    const std::uint32_t subnormal =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    const std::uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
    const std::uint32_t number = magnitude < 0x477ff000u ? finite : 0x7c00u;
    return static_cast<std::uint16_t>(((word >> 16) & 0x8000u) |
                                      (magnitude > 0x7f800000u ? 0x7e00u : number));
  }
};

/// The upper half of binary32, by its bits; uninitialized by default.
struct bf16 {
  std::uint16_t bits;

  /// Uninitialized.
  bf16() = default;
  /// Rounds to nearest even; NaN stays (quiet) NaN.
  constexpr explicit bf16(float value) : bits(round(value)) {}
  static constexpr bf16 from_bits(std::uint16_t bits) {
    bf16 x;
    x.bits = bits;
    return x;
  }

  /// Exact.
  constexpr explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

 private:
  static constexpr std::uint16_t round(float value) {
    const std::uint32_t word = std::bit_cast<std::uint32_t>(value);
    if ((word & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((word >> 16) | 0x40u);
    return static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
};

/// Four bits of exponent, three of fraction: up to 448 in steps of 2^-4 of the value, subnormals in
/// steps of 2^-9. Has no infinity; NaN is 0x7f and 0xff.
struct e4m3 {
  std::uint8_t bits;

  /// Uninitialized.
  e4m3() = default;
  /// Rounds to nearest even and saturates at 448, also from infinity; NaN stays NaN.
  constexpr explicit e4m3(float value) : bits(round(value)) {}
  static constexpr e4m3 from_bits(std::uint8_t bits) {
    e4m3 x;
    x.bits = bits;
    return x;
  }

  /// Exact.
  constexpr explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x80u) << 24;
    const std::uint32_t magnitude = bits & 0x7fu;
    // As for f16: 2^120 too small, subnormals included.
    const float scaled = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
    const std::uint32_t number = std::bit_cast<std::uint32_t>(scaled);
    return std::bit_cast<float>(sign | (magnitude == 0x7fu ? 0x7fc00000u : number));
  }

 private:
  static constexpr std::uint8_t round(float value) {
    constexpr std::uint32_t kLargest = 0x43e00000u, kLeastNormal = 0x3c800000u;  // 448, 2^-6
    const std::uint32_t word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = word & 0x7fffffffu;
    const std::uint32_t limited = magnitude < kLargest ? magnitude : kLargest;
    const std::uint32_t odd = (limited >> 20) & 1u;
    const std::uint32_t normal = (limited - 0x3c000000u + 0x7ffffu + odd) >> 20;
    // 2^14 has a unit in the last place of 2^-9: the float adder rounds at the last bit of a
    // subnormal.
    const std::uint32_t subnormal =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(limited) + 0x1p14f) - 0x46800000u;
    const std::uint32_t rounded = limited < kLeastNormal ? subnormal : normal;
    const std::uint32_t number = magnitude > 0x7f800000u ? 0x7fu : rounded;
    return static_cast<std::uint8_t>(((word >> 24) & 0x80u) | number);
  }
};

static_assert(sizeof(f16) == 2 && sizeof(bf16) == 2 && sizeof(e4m3) == 1);

/// An element type as a value.
enum class DType : std::uint8_t { s8, s32, f16, bf16, f32, e4m3 };

/// The value that names a type.
template <class T>
inline constexpr DType kDType = [] {
  static_assert(sizeof(T) == 0, "no DType names this type");
  return DType{};
}();
template <>
inline constexpr DType kDType<s8> = DType::s8;
template <>
inline constexpr DType kDType<s32> = DType::s32;
template <>
inline constexpr DType kDType<f16> = DType::f16;
template <>
inline constexpr DType kDType<bf16> = DType::bf16;
template <>
inline constexpr DType kDType<f32> = DType::f32;
template <>
inline constexpr DType kDType<e4m3> = DType::e4m3;

/// As records have it: f16.
constexpr std::string_view name(DType type) {
  switch (type) {
    case DType::s8:
      return "s8";
    case DType::s32:
      return "s32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::f32:
      return "f32";
    case DType::e4m3:
      return "e4m3";
  }
  return "unknown";
}

/// Bytes an element takes.
constexpr std::int64_t size_of(DType type) {
  switch (type) {
    case DType::s8:
    case DType::e4m3:
      return 1;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::s32:
    case DType::f32:
      return 4;
  }
  return 0;
}

}  // namespace octet
