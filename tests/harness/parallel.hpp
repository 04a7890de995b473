// Host threads for what the harness computes itself. Knows no kernel and no backend.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

namespace octet::harness {

/// Threads that parallel_for uses, the caller's included.
int thread_count();
/// 0: as many as the hardware has, the default.
void set_thread_count(int count);

/// Calls body(begin, end) for ranges of at most `grain` that together are [0, count), in no
/// particular order, on several threads. The first exception stops the rest and is rethrown.
void parallel_for(std::int64_t count, std::int64_t grain,
                  const std::function<void(std::int64_t, std::int64_t)>& body);

/// Sets the bytes in parallel. The first touch of fresh memory, page by page, takes one thread
/// longer than the copy that it is meant for.
void set_bytes(void* data, unsigned char value, std::int64_t bytes);

/// Where the first byte lies that is not `value`; nothing where all are.
std::optional<std::int64_t> first_other_byte(const void* data, unsigned char value,
                                             std::int64_t bytes);

}  // namespace octet::harness
