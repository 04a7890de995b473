// Branches<Cuda>: two streams, of the highest and of the lowest priority, and an event for each
// point.
//
// The priorities decide who gets a multiprocessor that falls free: a persistent product needs whole
// ones, which it would never see while a kernel of many small blocks has more of them to start.
#include "octet/branches.hpp"

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "cuda/error.hpp"

namespace octet {
namespace {

using cuda::check;

constexpr int kBranches = 2;

class Stream {
 public:
  explicit Stream(int priority) {
    check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority),
          "creating a branch");
  }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating a branch's event");
  }
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&&) = delete;
  void record(cudaStream_t stream) const {
    check(cudaEventRecord(event_, stream), "marking a point of a branch");
  }
  void hold(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, event_, 0), "letting a branch wait");
  }

 private:
  cudaEvent_t event_ = nullptr;
};

struct Priorities {
  int lowest = 0, highest = 0;
  Priorities() {
    check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "asking for stream priorities");
  }
};

}  // namespace

struct Branches<Cuda>::State {
  State(Cuda from, int points) : origin(from.stream), events(static_cast<std::size_t>(points)) {}

  cudaStream_t origin;
  Priorities priorities;
  std::array<Stream, kBranches> streams{Stream(priorities.highest), Stream(priorities.lowest)};
  Event forked;
  std::array<Event, kBranches> joined;
  std::vector<Event> events;
};

Branches<Cuda>::Branches(Cuda origin, int points)
    : state_(std::make_shared<State>(origin, points)) {}

Cuda Branches<Cuda>::operator[](int branch) const {
  return Cuda{state_->streams.at(static_cast<std::size_t>(branch)).get()};
}

void Branches<Cuda>::fork() {
  state_->forked.record(state_->origin);
  for (const Stream& stream : state_->streams) state_->forked.hold(stream.get());
}

void Branches<Cuda>::mark(int branch, int point) {
  state_->events.at(static_cast<std::size_t>(point)).record((*this)[branch].stream);
}

void Branches<Cuda>::wait(int branch, int point) {
  state_->events.at(static_cast<std::size_t>(point)).hold((*this)[branch].stream);
}

void Branches<Cuda>::join() {
  for (std::size_t i = 0; i < kBranches; ++i) {
    state_->joined[i].record(state_->streams[i].get());
    state_->joined[i].hold(state_->origin);
  }
}

}  // namespace octet
