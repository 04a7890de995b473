// Queues of work that run beside each other: they fork from a backend's queue and join it again.
//
//   fork(); mark(0, 3) behind some work of branch 0; wait(1, 3) before what needs it; join();
//
// Everything between fork() and join() goes to the branches and nothing to the origin, so that it
// can be captured in a graph. Branch 0 comes first where the device has no room for both.
#pragma once

#include <memory>

#include "octet/backend.hpp"

namespace octet {

template <class B>
class Branches;

/// On the CPU work is done in the order in which it is given.
template <>
class Branches<Cpu> {
 public:
  /// There is nothing to set up.
  Branches(Cpu, int /*points*/) {}
  /// The one queue there is.
  Cpu operator[](int) const { return {}; }
  /// Nothing: the order of calls is the order of work.
  void fork() {}
  /// Nothing.
  void mark(int, int) {}
  /// Nothing.
  void wait(int, int) {}
  /// Nothing.
  void join() {}
};

/// Two streams beside the origin's. Throws std::runtime_error with the runtime's own message.
template <>
class Branches<Cuda> {
 public:
  /// Numbers of points lie in [0, points).
  Branches(Cuda origin, int points);
  /// The stream of a branch, 0 or 1.
  Cuda operator[](int branch) const;
  /// Both branches go on behind what the origin was given so far.
  void fork();
  /// Remembers as `point` all that a branch was given so far.
  void mark(int branch, int point);
  /// A branch goes on behind a point that was marked after the last fork.
  void wait(int branch, int point);
  /// The origin goes on behind both branches.
  void join();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace octet
