// A 64-bit fingerprint of an output: the same for the same values on every machine, whatever the
// number of threads. Not cryptographic. It tells NaNs of different bits apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <type_traits>

#include "octet/backend.hpp"
#include "octet/matrix.hpp"

namespace octet::harness {

inline constexpr std::int64_t kHashChunk = 1 << 20;  // bytes

namespace detail {

/// A chunk is hashed in lanes: of its whole rows of 32 bytes, lane i takes the i-th word of each,
/// and byte n of what is left over goes to lane n % kLanes.
inline constexpr int kLanes = 4;
inline constexpr std::int64_t kLaneRow = 8 * kLanes;
constexpr std::uint64_t first_lane_value(int lane) { return static_cast<std::uint64_t>(lane) + 1; }

/// An odd multiplier and a rotation are bijections, so a change of any one word changes its lane.
constexpr std::uint64_t absorb(std::uint64_t lane, std::uint64_t value) {
  lane = (lane ^ value) * 0x9fb21c651e98df25u;
  return lane << 29 | lane >> 35;
}

std::uint64_t join_lanes(const std::uint64_t* lanes, std::int64_t bytes);
std::uint64_t join_chunks(std::span<const std::uint64_t> hashes, std::int64_t bytes);

}  // namespace detail

/// Chunks of 1 MiB are hashed in parallel and their hashes combined in order.
std::uint64_t hash_bytes(const void* data, std::size_t bytes);
/// The same number, of bytes in device memory that are aligned to 8, computed there: a full-size
/// result is hashed in milliseconds where copying it takes half a second.
std::uint64_t hash_bytes(Cuda backend, const void* data, std::size_t bytes);

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
