// Reading and writing rows in chunks of 16 bytes of the floating-point type, at any alignment.
//
// A chunk holds kChunk<T> elements as four raw words. Where the pointer and the leading dimension
// keep every chunk aligned (`vectors`), a whole chunk is one access; elsewhere, and at the end of a
// row, it goes element by element and what lies outside reads as zero.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "octet/numeric.hpp"

namespace octet::cuda {

using std::int64_t;

template <class T>
inline constexpr int kChunk = 16 / static_cast<int>(sizeof(T));

/// Whether each row starts at a multiple of `bytes`.
template <class T>
bool aligned_rows(const T* data, int64_t ld, int64_t rows, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0 &&
         (rows <= 1 || static_cast<std::uintptr_t>(ld) * sizeof(T) % bytes == 0);
}

struct Chunk {
  unsigned words[4];
};

/// The value of an element from its bits, in the low end of a word.
template <class T>
__device__ __forceinline__ float value_of(unsigned bits) {
  if constexpr (std::is_same_v<T, f16>) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
  } else if constexpr (std::is_same_v<T, bf16>) {
    return __uint_as_float(bits << 16);
  } else {
    return __uint_as_float(bits);
  }
}

/// The bits of an element, rounded once from its value.
template <class T>
__device__ __forceinline__ unsigned bits_of(float value) {
  if constexpr (std::is_same_v<T, f16>) {
    return __half_as_ushort(__float2half_rn(value));
  } else if constexpr (std::is_same_v<T, bf16>) {
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
  } else {
    return __float_as_uint(value);
  }
}

/// An unsigned integer as wide as T.
template <class T>
using Bits = std::conditional_t<sizeof(T) == 1, unsigned char,
                                std::conditional_t<sizeof(T) == 2, unsigned short, unsigned>>;

template <class T>
__device__ __forceinline__ float element(const Chunk& chunk, int e) {
  if constexpr (sizeof(T) == 2) {
    return value_of<T>(chunk.words[e / 2] >> (e % 2 * 16) & 0xffffu);
  } else {
    return value_of<T>(chunk.words[e]);
  }
}

/// 16 bytes from `source` on, a multiple of 16.
template <class T>
__device__ __forceinline__ Chunk load_whole_chunk(const T* source) {
  const uint4 all = __ldg(reinterpret_cast<const uint4*>(source));
  return {{all.x, all.y, all.z, all.w}};
}

/// The elements of a row from `source` on, of which `remaining` are left; none when <= 0.
template <class T>
__device__ __forceinline__ Chunk load_chunk(const T* source, int64_t remaining, bool vectors) {
  Chunk chunk{};
  if (vectors && remaining >= kChunk<T>) {
    chunk = load_whole_chunk(source);
  } else if (remaining > 0) {
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      if (e < remaining) {
        constexpr int kOfWord = 4 / static_cast<int>(sizeof(T)), kBits = 32 / kOfWord;
        const unsigned bits = reinterpret_cast<const Bits<T>*>(source)[e];
        chunk.words[e / kOfWord] |= bits << (e % kOfWord * kBits);
      }
    }
  }
  return chunk;
}

/// A chunk's elements from `target` on, of which `remaining` are inside the row; none when <= 0.
template <class T>
__device__ __forceinline__ void store_chunk(T* target, const Chunk& chunk, int64_t remaining,
                                            bool vectors) {
  if (vectors && remaining >= kChunk<T>) {
    *reinterpret_cast<uint4*>(target) =
        make_uint4(chunk.words[0], chunk.words[1], chunk.words[2], chunk.words[3]);
  } else if (remaining > 0) {
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      constexpr int kOfWord = 4 / static_cast<int>(sizeof(T)), kBits = 32 / kOfWord;
      if (e < remaining) {
        reinterpret_cast<Bits<T>*>(target)[e] =
            static_cast<Bits<T>>(chunk.words[e / kOfWord] >> (e % kOfWord * kBits));
      }
    }
  }
}

/// The low bytes of four words, the first one lowest.
__device__ __forceinline__ unsigned pack_bytes(unsigned a, unsigned b, unsigned c, unsigned d) {
  return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}

}  // namespace octet::cuda
