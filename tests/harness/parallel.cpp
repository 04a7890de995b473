#include "harness/parallel.hpp"

#include <algorithm>
#include <atomic>
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

}  // namespace octet::harness
