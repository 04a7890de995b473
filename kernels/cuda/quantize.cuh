// The device arithmetic that all kernels of quantization share; bit-exact with octet/quantize.hpp.
//
// Statistics are taken on bits: for magnitudes the order of unsigned integers is the order of the
// floats, and Inf and NaN come out above every finite value. A maximum does not depend on the order
// in which it is taken, so atomics leave the same bits at every run.
#pragma once

#include <nv/target>

#include "cuda/vector_access.cuh"
#include "octet/numeric.hpp"

namespace octet::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr unsigned kInfinityBits = 0x7f800000u;

// Magnitudes of the elements in a word: two 16-bit ones or one of 32 bits.
template <class T>
__device__ __forceinline__ unsigned magnitudes(unsigned word) {
  return word & (sizeof(T) == 2 ? 0x7fff7fffu : 0x7fffffffu);
}
template <class T>
__device__ __forceinline__ unsigned larger(unsigned a, unsigned b) {
  if constexpr (sizeof(T) == 2) {
    return __vmaxu2(a, b);
  } else {
    return max(a, b);
  }
}
/// The f32 bits of the largest magnitude in a word.
template <class T>
__device__ __forceinline__ unsigned largest_bits(unsigned word) {
  if constexpr (sizeof(T) == 2) {
    return __float_as_uint(value_of<T>(max(word & 0xffffu, word >> 16)));
  } else {
    return word;
  }
}
template <class T>
__device__ __forceinline__ unsigned largest_bits(const Chunk& chunk) {
  unsigned word = magnitudes<T>(chunk.words[0]);
#pragma unroll
  for (int i = 1; i < 4; ++i) word = larger<T>(word, magnitudes<T>(chunk.words[i]));
  return largest_bits<T>(word);
}

/// What a row's absmax becomes in Q, s8 or e4m3. Both are written as bytes, through pointers to s8.
template <class Q>
inline constexpr float kLargest = std::is_same_v<Q, s8> ? 127.0f : 448.0f;

/// kLargest / absmax; 0 where every q is 0.
template <class Q = s8>
__device__ __forceinline__ float inverse_scale(unsigned absmax_bits) {
  if (absmax_bits >= kInfinityBits) return 0.0f;
  const float inverse = __fdiv_rn(kLargest<Q>, __uint_as_float(absmax_bits));
  return __float_as_uint(inverse) < kInfinityBits ? inverse : 0.0f;
}

template <class Q = s8>
__device__ __forceinline__ float scale(unsigned absmax_bits) {
  if (absmax_bits >= kInfinityBits) return __uint_as_float(0x7fc00000u);
  if (inverse_scale<Q>(absmax_bits) == 0.0f) return 0.0f;
  return __fdiv_rn(__uint_as_float(absmax_bits), kLargest<Q>);
}

/// rint(x * inverse) in the low byte. The sum with 1.5 * 2^23 has a unit in the last place of 1, so
/// the adder itself rounds to the nearest integer, ties to even, and leaves it in two's complement.
/// |x| <= absmax keeps the product within 127 (1 + 2^-22), hence the result within 127.
__device__ __forceinline__ unsigned rounded(float x, float inverse) {
  return __float_as_uint(__fadd_rn(__fmul_rn(x, inverse), 12582912.0f));
}

/// Two e4m3, of a in the low byte. No value here is NaN.
__device__ __forceinline__ unsigned e4m3_pair(float a, float b) {
  unsigned pair = 0;
  NV_IF_ELSE_TARGET(NV_PROVIDES_SM_89,
                    (unsigned short both; asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;"
                                              : "=h"(both)
                                              : "f"(b), "f"(a));
                     pair = both;),
                    (pair = e4m3(a).bits | static_cast<unsigned>(e4m3(b).bits) << 8;))
  return pair;
}

/// Four values times `inverse` as bytes of Q, the first one lowest.
template <class Q>
__device__ __forceinline__ unsigned quantized(float a, float b, float c, float d, float inverse) {
  if constexpr (std::is_same_v<Q, s8>) {
    return pack_bytes(rounded(a, inverse), rounded(b, inverse), rounded(c, inverse),
                      rounded(d, inverse));
  } else {
    static_assert(std::is_same_v<Q, e4m3>);
    return e4m3_pair(__fmul_rn(a, inverse), __fmul_rn(b, inverse)) |
           e4m3_pair(__fmul_rn(c, inverse), __fmul_rn(d, inverse)) << 16;
  }
}

/// How rows of int8 are written.
struct Access {
  bool vectors;    // every row starts where a whole chunk can be stored at once
  bool streaming;  // nobody reads them soon: they should leave the cache to others
};

/// kWords * 4 int8 at a multiple of as many bytes.
template <int kWords>
__device__ __forceinline__ void store_whole(s8* target, const unsigned (&words)[kWords],
                                            bool streaming) {
  const auto put = [streaming](auto* to, auto all) {
    if (streaming) {
      __stcs(to, all);
    } else {
      *to = all;
    }
  };
  if constexpr (kWords == 1) {
    put(reinterpret_cast<unsigned*>(target), words[0]);
  } else if constexpr (kWords == 2) {
    put(reinterpret_cast<uint2*>(target), make_uint2(words[0], words[1]));
  } else {
    static_assert(kWords == 4);
    put(reinterpret_cast<uint4*>(target), make_uint4(words[0], words[1], words[2], words[3]));
  }
}

/// kWords * 4 int8, of which `remaining` are inside the row.
template <int kWords>
__device__ __forceinline__ void store_int8(s8* target, const unsigned (&words)[kWords],
                                           int64_t remaining, Access access) {
  if (access.vectors && remaining >= kWords * 4) {
    store_whole(target, words, access.streaming);
  } else {
#pragma unroll
    for (int i = 0; i < kWords * 4; ++i) {
      if (i < remaining) target[i] = static_cast<s8>(words[i / 4] >> (i % 4 * 8) & 0xffu);
    }
  }
}

/// A chunk of a row as bytes of Q. NaN and Inf would survive a product with an inverse of 0, so
/// that is tested.
template <class T, class Q = s8>
__device__ __forceinline__ void quantize_chunk(const Chunk& chunk, float inverse,
                                               unsigned (&words)[kChunk<T> / 4]) {
#pragma unroll
  for (int w = 0; w < kChunk<T> / 4; ++w) {
    const unsigned packed =
        quantized<Q>(element<T>(chunk, 4 * w), element<T>(chunk, 4 * w + 1),
                     element<T>(chunk, 4 * w + 2), element<T>(chunk, 4 * w + 3), inverse);
    words[w] = inverse == 0.0f ? 0u : packed;
  }
}

template <class T, class Q = s8>
__device__ __forceinline__ void store_quantized(s8* target, const Chunk& chunk, float inverse,
                                                int64_t remaining, Access access) {
  unsigned words[kChunk<T> / 4];
  quantize_chunk<T, Q>(chunk, inverse, words);
  store_int8(target, words, remaining, access);
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace octet::cuda
