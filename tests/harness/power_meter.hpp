// Power out of a counter of energy that moves in steps of a tenth of a second or so.
//
// What a window's first and last readings differ by is off by up to a step at either end. So power
// is taken between moves of the counter alone, and what a call takes follows from its time.
//
// A reading may take as long as many launches (NVML on an H200: 4 to 20 ms). So it is not for the
// thread that launches, and none is taken between a window's first move and its end.
#pragma once

#include <cmath>
#include <limits>
#include <optional>

namespace octet::harness {

class PowerMeter {
 public:
  /// A reading of the counter, `seconds` after whatever came first. How far apart readings are is
  /// how well a move is placed.
  void read(double seconds, std::optional<double> joules) {
    if (!joules || *joules == last_joules_) return;
    const bool is_move = !std::isnan(last_joules_);  // the first reading lies within a step
    last_joules_ = *joules;
    if (!is_move) return;
    last_ = {seconds, *joules};
    if (!first_) first_ = last_;
  }

  bool has_moved() const { return first_.has_value(); }
  /// No readings for a while: the next one is no move.
  void pause() { last_joules_ = kNone; }

  /// None before the counter has moved in two readings.
  std::optional<double> power_w() const {
    if (!first_ || last_.seconds <= first_->seconds) return std::nullopt;
    return (last_.joules - first_->joules) / (last_.seconds - first_->seconds);
  }

 private:
  struct Move {
    double seconds, joules;
  };
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double last_joules_ = kNone;
  std::optional<Move> first_;
  Move last_{};
};

inline constexpr double kReadingsApartS = 0.002;
inline constexpr double kLastReadingsS = 0.35;  // of a window: some moves of the counter

/// Power of the next `seconds`. `now()`, `sleep(seconds)` and `read()`, which gives joules or none.
template <class Now, class Sleep, class Read>
std::optional<double> measure_power(double seconds, Now now, Sleep sleep, Read read) {
  const double begin = now();
  PowerMeter meter;
  while (now() - begin < seconds) {
    const std::optional<double> joules = read();
    meter.read(now() - begin, joules);
    const double rest = seconds - kLastReadingsS - (now() - begin);
    if (meter.has_moved() && rest > 0) {
      meter.pause();
      sleep(rest);
    }
    sleep(kReadingsApartS);
  }
  return meter.power_w();
}

}  // namespace octet::harness
