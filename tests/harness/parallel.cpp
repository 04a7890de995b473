#include "harness/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace octet::harness {
namespace {

std::atomic<int> g_thread_count{0};
constexpr std::int64_t kBytesOfTask = std::int64_t{4} << 20;

}  // namespace

int thread_count() {
  const int wanted = g_thread_count.load();
  return wanted > 0 ? wanted : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void set_thread_count(int count) {
  if (count < 0) {
    throw std::invalid_argument("set_thread_count: count is " + std::to_string(count) +
                                " but must be 0 or more");
  }
  g_thread_count = count;
}

void parallel_for(std::int64_t count, std::int64_t grain,
                  const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t chunks = (count - 1) / grain + 1;
  std::atomic<std::int64_t> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    try {
      for (std::int64_t chunk = next++; chunk < chunks; chunk = next++) {
        body(chunk * grain, std::min(count, (chunk + 1) * grain));
      }
    } catch (...) {
      next = chunks;
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    const std::int64_t threads = std::min<std::int64_t>(thread_count(), chunks);
    try {
      for (std::int64_t t = 1; t < threads; ++t) helpers.emplace_back(work);
    } catch (const std::system_error&) {
      // No more threads to be had: those that started, and this one, do the work.
    }
    work();
  }
  if (error) std::rethrow_exception(error);
}

void set_bytes(void* data, unsigned char value, std::int64_t bytes) {
  parallel_for(bytes, kBytesOfTask, [&](std::int64_t begin, std::int64_t end) {
    std::memset(static_cast<unsigned char*>(data) + begin, value,
                static_cast<std::size_t>(end - begin));
  });
}

std::optional<std::int64_t> first_other_byte(const void* data, unsigned char value,
                                             std::int64_t bytes) {
  const auto* all = static_cast<const unsigned char*>(data);
  std::atomic<std::int64_t> first{bytes};
  parallel_for(bytes, kBytesOfTask, [&](std::int64_t begin, std::int64_t end) {
    // Equal to its neighbours all along, and its first byte right.
    const bool all_same =
        all[begin] == value &&
        std::memcmp(all + begin, all + begin + 1, static_cast<std::size_t>(end - begin - 1)) == 0;
    if (all_same) return;
    std::int64_t at = begin;
    while (all[at] == value) ++at;
    std::int64_t found = first.load();
    while (at < found && !first.compare_exchange_weak(found, at)) {
    }
  });
  if (first == bytes) return std::nullopt;
  return first.load();
}

}  // namespace octet::harness
