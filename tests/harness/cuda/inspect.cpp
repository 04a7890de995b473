// Inspection of device memory where it lies: see harness/hash.hpp and harness/inspect.hpp.
#include "harness/inspect.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "harness/cuda/instruments.hpp"
#include "harness/hash.hpp"
#include "octet/buffer.hpp"

namespace octet::harness {

std::uint64_t hash_bytes(Cuda backend, const void* data, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(data) % 8 != 0) {
    throw std::invalid_argument("hash_bytes: device memory must be aligned to 8 bytes");
  }
  const auto size = static_cast<std::int64_t>(bytes);
  const std::int64_t chunks = (size + kHashChunk - 1) / kHashChunk;
  const Buffer<Cuda, std::uint64_t> device(backend, chunks * detail::kLanes);
  queue_hash_lanes(backend.stream, data, size, device.data());
  std::vector<std::uint64_t> lanes(static_cast<std::size_t>(device.size()));
  copy_to_host(backend, lanes.data(), device.data(), static_cast<std::size_t>(device.bytes()));
  std::vector<std::uint64_t> hashes;
  for (std::int64_t c = 0; c < chunks; ++c) {
    hashes.push_back(detail::join_lanes(lanes.data() + c * detail::kLanes,
                                        std::min(kHashChunk, size - c * kHashChunk)));
  }
  return detail::join_chunks(hashes, size);
}

std::optional<std::int64_t> first_other_byte(Cuda backend, const void* data, unsigned char value,
                                             std::int64_t bytes) {
  if (bytes <= 0) return std::nullopt;
  constexpr unsigned long long kNone = ~0ull;
  const Buffer<Cuda, unsigned long long> device(backend, 1);
  fill(backend, device.data(), 0xff, sizeof(kNone));
  queue_find_other_byte(backend.stream, data, value, bytes, device.data());
  unsigned long long first = 0;
  copy_to_host(backend, &first, device.data(), sizeof(first));
  if (first == kNone) return std::nullopt;
  return static_cast<std::int64_t>(first);
}

}  // namespace octet::harness
