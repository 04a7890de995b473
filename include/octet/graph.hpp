// Work that is recorded once and replayed without its launch costs.
#pragma once

#include <functional>
#include <memory>

#include "octet/backend.hpp"

namespace octet {

template <class B>
class Graph;

/// On the CPU a graph is the call itself.
template <>
class Graph<Cpu> {
 public:
  /// Keeps the work; each launch calls it, and is done when it returns.
  Graph(Cpu, std::function<void()> work) : work_(std::move(work)) {}
  void launch() const { work_(); }

 private:
  std::function<void()> work_;
};

/// Captures what `work` queues on the backend's stream, which must not be the default stream.
/// `work` must neither synchronize nor allocate. Throws std::runtime_error when it cannot be
/// captured; the stream is usable afterwards. An exception from `work` passes through.
template <>
class Graph<Cuda> {
 public:
  /// Captures.
  Graph(Cuda backend, const std::function<void()>& work);
  /// Queues one replay on the stream.
  void launch() const;

 private:
  Cuda backend_;
  std::shared_ptr<void> executable_;
};

}  // namespace octet
