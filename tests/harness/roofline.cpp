#include "harness/roofline.hpp"

namespace octet::harness {

std::optional<double> operations_per_clock(int compute_capability, Pipe pipe) {
  if (pipe == Pipe::none) return std::nullopt;
  const double of_f16 = pipe == Pipe::f16 ? 1 : 2;
  switch (compute_capability) {
    case 80:
      if (pipe == Pipe::e4m3) return std::nullopt;
      return 2048 * of_f16;
    case 90:
      return 4096 * of_f16;
    default:
      return std::nullopt;
  }
}

Roofline roofline_of(const DeviceInfo& device, Pipe pipe, double bytes, double operations,
                     const Timing& timing, const Timing* copied) {
  Roofline r;
  const double us = timing.summary().median;
  r.gb_per_s = 1e-3 * bytes / us;
  r.tops = 1e-6 * operations / us;
  if (copied != nullptr) {
    r.copy_gb_per_s = 1e-3 * bytes / copied->summary().median;
    r.fraction = ratio_interval(copied->samples_us, timing.samples_us, kConfidence);
    r.bound = "memory";
  }
  const auto per_clock = operations_per_clock(device.compute_capability, pipe);
  if (per_clock && !timing.clock_mhz.empty()) {
    const double clock_mhz = summarize(timing.clock_mhz).median;
    r.peak_tops = 1e-6 * *per_clock * device.multiprocessors * clock_mhz;
    const Interval time = median_interval(timing.samples_us, kConfidence);
    const auto fraction_at = [&](double at_us) { return 1e-6 * operations / at_us / *r.peak_tops; };
    const Interval compute{fraction_at(time.estimate), fraction_at(time.high),
                           fraction_at(time.low), time.confidence};
    if (!r.fraction || compute.estimate > r.fraction->estimate) {
      r.fraction = compute;
      r.bound = "compute";
    }
  }
  return r;
}

}  // namespace octet::harness
