// A 64-bit fingerprint of an output: the same for the same values on every machine, whatever the
// number of threads. Not cryptographic. It tells NaNs of different bits apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#include "octet/matrix.hpp"

namespace octet::harness {

inline constexpr std::int64_t kHashChunk = 1 << 20;  // bytes

/// Chunks of 1 MiB are hashed in parallel and their hashes combined in order.
std::uint64_t hash_bytes(const void* data, std::size_t bytes);

/// The same over a stream of bytes that does not lie in one piece. chunk(begin, end, scratch)
/// answers where bytes [begin, end) lie, which may be `scratch`, of kHashChunk bytes.
std::uint64_t hash_chunks(
    std::int64_t bytes,
    const std::function<const void*(std::int64_t, std::int64_t, unsigned char*)>& chunk);

/// The elements in row-major order without what lies between rows: hash_bytes of the packed copy.
template <class T, class L>
std::uint64_t hash(Matrix<T, L> m) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  static_assert(kHashChunk % kSize == 0);
  return hash_chunks(
      m.size() * kSize,
      [&](std::int64_t begin, std::int64_t end, unsigned char* scratch) -> const void* {
        if constexpr (std::is_same_v<L, RowMajor>) {
          if (m.layout.ld == m.cols) return reinterpret_cast<const unsigned char*>(m.data) + begin;
        }
        for (std::int64_t n = begin / kSize; n < end / kSize;) {
          // A run of neighbours where the layout has them, one element otherwise.
          const std::int64_t i = n / m.cols, j = n % m.cols;
          std::int64_t run = 1;
          if constexpr (std::is_same_v<L, RowMajor>) run = std::min(m.cols - j, end / kSize - n);
          std::memcpy(scratch, &m(i, j), static_cast<std::size_t>(run * kSize));
          scratch += run * kSize;
          n += run;
        }
        return scratch - (end - begin);
      });
}

}  // namespace octet::harness
