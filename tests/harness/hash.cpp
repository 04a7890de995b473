#include "harness/hash.hpp"

#include <memory>
#include <vector>

#include "harness/parallel.hpp"
#include "harness/random.hpp"

namespace octet::harness {
namespace {

using detail::absorb, detail::first_lane_value, detail::kLaneRow, detail::kLanes;

/// Little-endian on every machine.
std::uint64_t load(const unsigned char* p) {
  std::uint64_t value = 0;
  for (int byte = 7; byte >= 0; --byte) value = value << 8 | p[byte];
  return value;
}

std::uint64_t hash_chunk(const unsigned char* p, std::int64_t bytes) {
  // Several lanes hide the multiplier's latency.
  std::uint64_t lanes[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = first_lane_value(lane);
  std::int64_t n = 0;
  for (; n + kLaneRow <= bytes; n += kLaneRow) {
    for (int lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = absorb(lanes[lane], load(p + n + 8 * lane));
    }
  }
  for (; n < bytes; ++n) lanes[n % kLanes] = absorb(lanes[n % kLanes], p[n]);
  return detail::join_lanes(lanes, bytes);
}

}  // namespace

std::uint64_t detail::join_lanes(const std::uint64_t* lanes, std::int64_t bytes) {
  auto hash = static_cast<std::uint64_t>(bytes);
  for (int lane = 0; lane < kLanes; ++lane) hash = mix(hash + mix(lanes[lane]));
  return hash;
}

std::uint64_t detail::join_chunks(std::span<const std::uint64_t> hashes, std::int64_t bytes) {
  std::uint64_t hash = mix(static_cast<std::uint64_t>(bytes));
  for (const std::uint64_t h : hashes) hash = mix(hash * 0x9e3779b97f4a7c15u + h);
  return hash;
}

std::uint64_t hash_chunks(
    std::int64_t bytes,
    const std::function<const void*(std::int64_t, std::int64_t, unsigned char*)>& chunk) {
  const std::int64_t chunks = (bytes + kHashChunk - 1) / kHashChunk;
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(chunks));
  parallel_for(chunks, 2, [&](std::int64_t first, std::int64_t last) {
    // Not cleared: most streams lie in one piece and leave it untouched.
    const auto scratch = std::make_unique_for_overwrite<unsigned char[]>(
        static_cast<std::size_t>(std::min(bytes, kHashChunk)));
    for (std::int64_t c = first; c < last; ++c) {
      const std::int64_t begin = c * kHashChunk, end = std::min(bytes, begin + kHashChunk);
      const void* data = chunk(begin, end, scratch.get());
      hashes[static_cast<std::size_t>(c)] =
          hash_chunk(static_cast<const unsigned char*>(data), end - begin);
    }
  });
  return detail::join_chunks(hashes, bytes);
}

std::uint64_t hash_bytes(const void* data, std::size_t bytes) {
  return hash_chunks(static_cast<std::int64_t>(bytes),
                     [&](std::int64_t begin, std::int64_t, unsigned char*) -> const void* {
                       return static_cast<const unsigned char*>(data) + begin;
                     });
}

}  // namespace octet::harness
