// A pool of threads that sleep between loops. A loop is one object on its caller's stack; workers
// take pieces from its counter until none is left.
#include "cpu/parallel.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

namespace octet::cpu {
namespace {

struct Loop {
  std::int64_t count, grain;
  LoopBody body;
  std::atomic<std::int64_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  void work() {
    for (;;) {
      const std::int64_t begin = next.fetch_add(grain);
      if (begin >= count) return;
      try {
        body.call(body.context, begin, std::min(begin + grain, count));
      } catch (...) {
        next = count;
        const std::scoped_lock lock(error_mutex);
        if (!error) error = std::current_exception();
      }
    }
  }
};

thread_local bool inside_a_loop = false;

class Pool {
 public:
  explicit Pool(int threads) : owner_(getpid()) {
    threads_.reserve(static_cast<std::size_t>(threads - 1));
    try {
      while (static_cast<int>(threads_.size()) < threads - 1) {
        threads_.emplace_back([this] { serve(); });
      }
    } catch (const std::system_error&) {
      // The system gives no more threads: those that started do the work.
    }
  }

  ~Pool() {
    {
      const std::scoped_lock lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  /// False in a forked child, which has the pool's memory but none of its threads.
  bool owned() const { return getpid() == owner_; }

  void run(std::int64_t count, std::int64_t grain, LoopBody body) {
    std::unique_lock turn(turn_, std::defer_lock);
    if (threads_.empty() || inside_a_loop || !owned() || !turn.try_lock()) {
      for (std::int64_t begin = 0; begin < count; begin += grain) {
        body.call(body.context, begin, std::min(begin + grain, count));
      }
      return;
    }
    Loop loop{.count = count, .grain = grain, .body = body, .error_mutex = {}, .error = {}};
    {
      const std::scoped_lock lock(mutex_);
      loop_ = &loop;
      ++generation_;
    }
    wake_.notify_all();
    inside_a_loop = true;
    loop.work();
    inside_a_loop = false;
    {
      std::unique_lock lock(mutex_);
      loop_ = nullptr;  // whoever wakes from here on finds nothing to do
      done_.wait(lock, [this] { return active_ == 0; });
    }
    if (loop.error) std::rethrow_exception(loop.error);
  }

 private:
  void serve() {
    inside_a_loop = true;
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      if (loop_ == nullptr) continue;
      Loop& loop = *loop_;
      ++active_;
      lock.unlock();
      loop.work();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  const pid_t owner_;
  std::mutex turn_;   // held by the caller whose loop runs
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_, done_;
  Loop* loop_ = nullptr;
  std::uint64_t generation_ = 0;
  int active_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

/// A child neither joins threads nor destroys what they wait on.
struct StopWhereOwned {
  void operator()(Pool* pool) const {
    if (pool->owned()) delete pool;
  }
};

}  // namespace

int hardware_threads() noexcept {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

int thread_count() {
  static const int count = [] {
    const char* text = std::getenv("OCTET_CPU_THREADS");
    if (text == nullptr || *text == '\0') return hardware_threads();
    int value = 0;
    const char* end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, value);
    if (error != std::errc{} || stop != end || value < 1 || value > 4096) {
      throw std::invalid_argument(
          fmt::format("OCTET_CPU_THREADS is \"{}\" but must be a number from 1 to 4096", text));
    }
    return value;
  }();
  return count;
}

void run_loop(std::int64_t count, std::int64_t grain, LoopBody body) {
  static const std::unique_ptr<Pool, StopWhereOwned> pool(new Pool(thread_count()));
  pool->run(count, std::max<std::int64_t>(grain, 1), body);
}

}  // namespace octet::cpu
