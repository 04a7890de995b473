// What a device allows, measured in the same run: memory by a copy of the same number of bytes,
// arithmetic by the operations of its tensor cores at the clock that was measured.
#pragma once

#include <optional>
#include <string_view>

#include "harness/statistics.hpp"
#include "harness/timer.hpp"
#include "octet/backend.hpp"

namespace octet::harness {

/// The tensor-core pipe that an operator's operations go through.
enum class Pipe { none, f16, s8, e4m3 };

/// Dense operations of one multiprocessor in one clock, a multiply-add counted as two; empty for an
/// architecture whose rate is not known. Source: NVIDIA's architecture whitepapers (A100, table 2;
/// H100, table 3), peak rate / (multiprocessors * boost clock).
std::optional<double> operations_per_clock(int compute_capability, Pipe pipe);

struct Roofline {
  double gb_per_s = 0, tops = 0;        // reached
  std::optional<double> copy_gb_per_s;  // of the copy
  std::optional<double> peak_tops;      // of the pipe at the measured clock
  std::optional<Interval> fraction;     // of the roof that is nearer
  std::string_view bound;               // "memory", "compute"; empty where no roof is known
};

/// `copied` is the copy's timing, of the same rounds; null where there was none.
Roofline roofline_of(const DeviceInfo& device, Pipe pipe, double bytes, double operations,
                     const Timing& timing, const Timing* copied);

}  // namespace octet::harness
