#include "harness/watchdog.hpp"

#include <utility>

namespace octet::harness {

Watchdog::Watchdog(std::chrono::milliseconds limit, std::function<void()> expired)
    : thread_([this, limit, expired = std::move(expired)] {
        std::unique_lock lock(mutex_);

        if (!wake_.wait_for(lock, limit, [this] { return done_; })) expired();
      }) {}

Watchdog::~Watchdog() {
  {
    const std::scoped_lock lock(mutex_);
    done_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

}  // namespace octet::harness
