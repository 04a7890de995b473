// Power out of a counter of energy that moves in steps of a tenth of a second or so.
//
// What a window's first and last readings differ by is off by up to a step at either end. So power
// is taken between moves of the counter alone, and what a call takes follows from its time.
#pragma once

#include <optional>

namespace octet::harness {

class PowerMeter {
 public:
  /// A reading of the counter, `seconds` after whatever came first. Often: how far apart readings
  /// are is how well a move is placed.
  void read(double seconds, std::optional<double> joules) {
    if (!joules || joules == last_joules_) return;
    const bool is_move = last_joules_.has_value();  // the first reading lies within a step
    last_joules_ = joules;
    if (!is_move) return;
    last_ = {seconds, *joules};
    if (!first_) first_ = last_;
  }

  /// None before the counter has moved in two readings.
  std::optional<double> power_w() const {
    if (!first_ || last_.seconds <= first_->seconds) return std::nullopt;
    return (last_.joules - first_->joules) / (last_.seconds - first_->seconds);
  }

 private:
  struct Move {
    double seconds, joules;
  };
  std::optional<double> last_joules_;
  std::optional<Move> first_;
  Move last_{};
};

}  // namespace octet::harness
