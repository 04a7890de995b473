// Host threads for what the harness computes itself. Knows no kernel and no backend.
#pragma once

#include <cstdint>
#include <functional>

namespace octet::harness {

/// Threads that parallel_for uses, the caller's included.
int thread_count();
/// 0: as many as the hardware has, the default.
void set_thread_count(int count);

/// Calls body(begin, end) for ranges of at most `grain` that together are [0, count), in no
/// particular order, on several threads. The first exception stops the rest and is rethrown.
void parallel_for(std::int64_t count, std::int64_t grain,
                  const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace octet::harness
