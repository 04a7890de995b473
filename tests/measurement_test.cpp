// What measuring rests on: who else uses the device, when a steady state is one, how small problems
// are timed, and that memory is inspected where it lies as it would be on the host.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/inspect.hpp"
#include "harness/power_meter.hpp"
#include "harness/process_watch.hpp"
#include "harness/record.hpp"
#include "harness/roofline.hpp"
#include "harness/run_case.hpp"
#include "harness/statistics.hpp"
#include "harness/test_run.hpp"
#include "harness/timer.hpp"

namespace octet::harness {
namespace {

// ---- other processes ----

/// A device's list of processes, set by hand.
struct FakeDevice {
  std::optional<ProcessIds> listed = ProcessIds{};
  ProcessWatch watch(unsigned own_id) {
    return ProcessWatch([this] { return listed; }, own_id);
  }
};

TEST(ProcessWatch, NamesTheOthersAndNotThisProcess) {
  FakeDevice device;
  ProcessWatch watch = device.watch(17);
  device.listed = {17};
  EXPECT_EQ(watch.others(), ProcessIds{});
  device.listed = {99, 17, 42};
  EXPECT_EQ(watch.others(), (ProcessIds{42, 99}));
  device.listed = {17};
  EXPECT_EQ(watch.others(), ProcessIds{});
}

TEST(ProcessWatch, NamesWhoWasThereBefore) {
  FakeDevice device;
  device.listed = {42};
  ProcessWatch watch = device.watch(17);
  device.listed = {42, 17};
  EXPECT_EQ(watch.others(), ProcessIds{42});
}

TEST(ProcessWatch, KnowsItselfByAnotherNumber) {
  // As in a container: getpid() says 3, the device's list 70017.
  FakeDevice device;
  device.listed = {42};
  ProcessWatch watch = device.watch(3);
  device.listed = {42, 70017};
  EXPECT_EQ(watch.others(), ProcessIds{42});
  device.listed = {42, 70017, 70018};
  EXPECT_EQ(watch.others(), (ProcessIds{42, 70018}));
}

TEST(ProcessWatch, TakesNobodyElseForItself) {
  // Lists that never name this process: who comes later is another.
  FakeDevice device;
  ProcessWatch watch = device.watch(3);
  EXPECT_EQ(watch.others(), ProcessIds{});
  device.listed = {70018};
  EXPECT_EQ(watch.others(), ProcessIds{70018});
  // Two at once, one of which may be this process: busy in any case.
  FakeDevice crowded;
  ProcessWatch unsure = crowded.watch(3);
  crowded.listed = {70018, 70017};
  EXPECT_EQ(unsure.others(), (ProcessIds{70017, 70018}));
}

TEST(ProcessWatch, SaysNothingWhereNothingTells) {
  FakeDevice device;
  device.listed = std::nullopt;
  ProcessWatch watch = device.watch(17);
  EXPECT_EQ(watch.others(), std::nullopt);
  device.listed = {17, 42};
  EXPECT_EQ(watch.others(), ProcessIds{42});
}

TEST(Record, NamesProcessesSeenBeforeOrAfter) {
  Json r = {{"device", nullptr}};
  const auto set = [&](const std::optional<ProcessIds>& others) {
    set_device(r, "cuda", {}, {}, others);
    return r["device"]["busy"];
  };
  EXPECT_EQ(set(std::nullopt), nullptr);
  EXPECT_EQ(set(ProcessIds{}), Json::array());
  EXPECT_EQ(set(ProcessIds{42}), Json({42}));
  EXPECT_EQ(set(ProcessIds{7}), Json({7, 42}));
  EXPECT_EQ(set(ProcessIds{}), Json({7, 42}));
  EXPECT_EQ(set(std::nullopt), Json({7, 42}));
}

// ---- the steady state ----

TEST(Statistics, DriftByHand) {
  EXPECT_EQ(drift(std::vector{100.0}), 0);
  EXPECT_NEAR(drift(std::vector{100.0, 110.0}), 0.1, 1e-12);
  EXPECT_EQ(drift(std::vector{110.0, 5.0, 99.0}), 99.0 / 110 - 1);
  EXPECT_EQ(drift(std::vector{1.0, 2.0, 9.0, 2.0, 4.0, 1.0}), 0);
  // Order matters, outliers do not.
  EXPECT_NEAR(drift(std::vector{100.0, 100.0, 900.0, 102.0, 102.0, 102.0}), 0.02, 1e-12);
  EXPECT_THROW(drift({}), std::invalid_argument);
}

/// A window that gets slower by `change` halfway.
Timing window(double change) {
  Timing t;
  for (int i = 0; i < 20; ++i) t.samples_us.push_back(i < 10 ? 100 : 100 * (1 + change));
  return t;
}

TEST(SteadyState, EndsWithTheFirstWindowThatDoesNotDrift) {
  const std::vector<double> changes = {-0.08, 0.03, 0.011, 0.009, 0};
  int taken = 0;
  const Timing t =
      until_stationary([&] { return window(changes.at(static_cast<std::size_t>(taken++))); });
  EXPECT_EQ(taken, 4);
  EXPECT_NEAR(t.drift.value(), 0.009, 1e-12);
  EXPECT_TRUE(t.stationary.value());
  EXPECT_EQ(t.stop, Stop::precision);
  EXPECT_EQ(to_json(t)["stationary"], true);
  EXPECT_NEAR(to_json(t)["drift"].get<double>(), 0.009, 1e-12);
}

TEST(SteadyState, GivesUpAndSaysSo) {
  int taken = 0;
  const Timing t = until_stationary([&] {
    ++taken;
    return window(0.05);
  });
  EXPECT_EQ(taken, kSteadyWindows);
  EXPECT_NEAR(t.drift.value(), 0.05, 1e-12);
  EXPECT_FALSE(t.stationary.value());
  EXPECT_EQ(t.stop, Stop::time_cap);
}

TEST(SteadyState, IsNothingThatOtherTimesSpeakOf) {
  const Json json = to_json(window(0.05));
  EXPECT_EQ(json["drift"], nullptr);
  EXPECT_EQ(json["stationary"], nullptr);
}

// ---- power ----

/// Reads a counter that says every `step` seconds what 700 W have taken until then.
std::optional<double> metered(double step, double phase, double interval, double window) {
  PowerMeter meter;
  for (double now = 0; now < window; now += interval) {
    meter.read(now, 1000 + 700 * step * std::floor((now + phase) / step));
  }
  return meter.power_w();
}

TEST(PowerMeter, TakesNoPartOfAStepForAWhole) {
  for (double phase = 0; phase < 0.1; phase += 0.007) {
    const std::optional<double> watts = metered(0.1, phase, 0.003, 2);
    ASSERT_TRUE(watts.has_value());
    EXPECT_NEAR(*watts, 700, 700 * 0.003 / 1.8);
  }
}

/// A device at 700 W whose counter moves every tenth of a second and takes 4 or 20 ms to be read.
struct MeteredDevice {
  double now = 0, phase = 0;
  std::vector<double> readings;

  std::optional<double> read() {
    now += readings.size() % 2 == 0 ? 0.004 : 0.02;
    readings.push_back(now);
    return 70 * std::floor((now + phase) / 0.1);
  }
  std::optional<double> power(double seconds) {
    return measure_power(
        seconds, [&] { return now; }, [&](double s) { now += s; }, [&] { return read(); });
  }
};

TEST(PowerMeter, LeavesTheDeviceAloneBetweenItsFirstMoveAndTheEnd) {
  for (double phase = 0; phase < 0.1; phase += 0.007) {
    MeteredDevice device;
    device.phase = phase;
    const std::optional<double> watts = device.power(2);
    ASSERT_TRUE(watts.has_value());
    EXPECT_NEAR(*watts, 700, 700 * 0.022 / 1.6);
    EXPECT_GT(device.now, 2);
    EXPECT_LT(device.now, 2.03);
    const auto in_between = [](double t) { return t > 0.15 && t < 2 - kLastReadingsS; };
    EXPECT_EQ(std::ranges::count_if(device.readings, in_between), 0) << "phase " << phase;
  }
  MeteredDevice brief;
  EXPECT_EQ(brief.power(0.05), std::nullopt);
}

TEST(PowerMeter, NeedsTwoMovesOfTheCounter) {
  EXPECT_EQ(metered(10, 0, 0.003, 2), std::nullopt);
  EXPECT_EQ(metered(1.5, 0, 0.003, 2), std::nullopt);
  EXPECT_TRUE(metered(0.9, 0, 0.003, 2).has_value());
  PowerMeter meter;
  meter.read(0, std::nullopt);
  EXPECT_EQ(meter.power_w(), std::nullopt);
}

// ---- when sampling ends ----

/// Two contenders: one that is always the same, one that settles after `settled` samples.
std::vector<Timing> sample_two(const TimingOptions& options, std::size_t settled,
                               std::vector<std::size_t>* order = nullptr) {
  std::vector<Timing> timings(2);
  sample_in_rounds(timings, options, [&](std::size_t c) {
    std::vector<double>& samples = timings[c].samples_us;
    const bool is_settled = c == 0 || samples.size() >= settled;
    samples.push_back(is_settled ? 10 : samples.size() % 2 == 0 ? 8 : 12);
    if (order != nullptr) order->push_back(c);
  });
  return timings;
}

TEST(Sampling, GoesOnUntilEveryMedianIsPrecise) {
  TimingOptions options;
  options.time_cap_s = 60;
  for (const Timing& t : sample_two(options, 24)) {
    EXPECT_EQ(t.stop, Stop::precision);
    EXPECT_GT(t.samples_us.size(), 24u);  // not at the least, where one contender alone is precise
    EXPECT_LT(t.samples_us.size(), 200u);
  }
  for (const Timing& t : sample_two(options, 0)) {
    EXPECT_EQ(t.stop, Stop::precision);
    EXPECT_EQ(static_cast<int>(t.samples_us.size()), options.samples);
  }
}

TEST(Sampling, TakesExactlyWhatIsAskedFor) {
  TimingOptions options;
  options.samples = 7;
  options.exact = true;
  for (const Timing& t : sample_two(options, 1000)) {
    EXPECT_EQ(t.stop, Stop::iterations);
    EXPECT_EQ(t.samples_us.size(), 7u);
  }
}

TEST(Sampling, GivesUpWhenTimeIsOver) {
  TimingOptions options;
  options.time_cap_s = 0;
  for (const Timing& t : sample_two(options, 1000)) {
    EXPECT_EQ(t.stop, Stop::time_cap);
    EXPECT_EQ(static_cast<int>(t.samples_us.size()), options.samples);
  }
}

TEST(Sampling, TakesRoundsInRandomOrder) {
  std::vector<std::size_t> order;
  sample_two({.samples = 40, .exact = true}, 0, &order);
  ASSERT_EQ(order.size(), 80u);
  int first = 0;
  for (std::size_t i = 0; i < order.size(); i += 2) {
    EXPECT_NE(order[i], order[i + 1]);
    first += order[i] == 0;
  }
  EXPECT_GT(first, 5);
  EXPECT_LT(first, 35);
}

// ---- roofs ----

Timing timing_of(double us, double clock_mhz) {
  Timing t;
  t.samples_us.assign(20, us);
  if (clock_mhz > 0) t.clock_mhz.assign(20, clock_mhz);
  return t;
}

TEST(Roofline, TakesTheRoofThatIsNearer) {
  DeviceInfo device;
  device.compute_capability = 90;
  device.multiprocessors = 100;
  const double per_clock = operations_per_clock(90, Pipe::s8).value();
  const Timing mine = timing_of(10, 1000), copied = timing_of(4, 1000);
  // 100 multiprocessors for 10 us at 1 GHz.
  const double all = per_clock * 100 * 1e4;

  const Roofline compute = roofline_of(device, Pipe::s8, 1e6, 0.5 * all, mine, &copied);
  EXPECT_EQ(compute.bound, "compute");
  EXPECT_NEAR(compute.fraction.value().estimate, 0.5, 1e-9);
  EXPECT_NEAR(compute.peak_tops.value(), 1e-12 * all / 1e-5, 1e-6);
  EXPECT_NEAR(compute.gb_per_s, 100, 1e-9);
  EXPECT_NEAR(compute.copy_gb_per_s.value(), 250, 1e-9);
  EXPECT_NEAR(compute.tops, 0.5 * compute.peak_tops.value(), 1e-6);

  const Roofline memory = roofline_of(device, Pipe::s8, 1e6, 0.3 * all, mine, &copied);
  EXPECT_EQ(memory.bound, "memory");
  EXPECT_NEAR(memory.fraction.value().estimate, 0.4, 1e-9);

  const Roofline none = roofline_of(device, Pipe::none, 1e6, 0, timing_of(10, 0), nullptr);
  EXPECT_EQ(none.bound, "");
  EXPECT_FALSE(none.fraction || none.peak_tops || none.copy_gb_per_s);
}

// ---- small problems ----

TEST(TimingOptions, ProblemsThatAreNoModelsAreBrief) {
  if (options().iterations) GTEST_SKIP() << "OCTET_ITERATIONS asks for figures";
  Problem model, small;
  model.size = "4k";
  const TimingOptions of_small = timing_options<Cuda>(small, 1);
  const TimingOptions of_model = timing_options<Cuda>(model, 1);
  EXPECT_TRUE(is_brief(small));
  EXPECT_FALSE(is_brief(model));
  EXPECT_EQ(of_small.idle_ratio, 0);
  EXPECT_EQ(of_model.idle_ratio, kIdleRatio);
  EXPECT_EQ(of_model.sample_us, kBurstUs);
  EXPECT_TRUE(of_small.exact);
  // All samples of the three contenders of a case, gaps included, within a tenth of a second: a
  // minute for six hundred cases.
  const double sample_us = of_small.sample_us * (1 + of_small.idle_ratio);
  EXPECT_LE((of_small.samples + of_small.warm_up) * sample_us * 3, 0.1e6);
  // Enough launches back to back to show a race: of each set, of which there are few.
  EXPECT_GE(of_small.most_calls / kBriefSets, 16);
}

// ---- memory where it lies ----

/// Calls f(backend) for each backend where a device answers.
template <class F>
void for_each_available(F&& f) {
  for_each_backend([&]<class B>(B) {
    if (available(B{})) {
      f(make_backend<B>());
    } else {
      EXPECT_FALSE(options().requires_backend(B::kName)) << "no " << B::kName << " device answers";
    }
  });
}

TEST(Inspect, HashesAreTheHosts) {
  for_each_available([]<class B>(B backend) {
    for (const std::int64_t bytes :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{7}, std::int64_t{31}, std::int64_t{32},
          std::int64_t{33}, std::int64_t{255}, std::int64_t{263}, std::int64_t{4099},
          kHashChunk - 1, kHashChunk, kHashChunk + 1, 3 * kHashChunk + 32 * 9 + 5}) {
      std::vector<unsigned char> host(static_cast<std::size_t>(bytes));
      for (std::size_t i = 0; i < host.size(); ++i) {
        host[i] = static_cast<unsigned char>(word(3, i));
      }
      const Buffer<B, unsigned char> device(backend, bytes);
      copy_from_host(backend, device.data(), host.data(), host.size());
      const Matrix<const unsigned char> m(device.data(), 1, bytes);
      EXPECT_EQ(hash_in_place(backend, m), hash_bytes(host.data(), host.size()))
          << B::kName << ", " << bytes << " bytes";
    }
    // Rows with gaps, and bytes that are not aligned, come to the host.
    std::vector<f16> host(40 * 23);
    for (std::size_t i = 0; i < host.size(); ++i) {
      host[i].bits = static_cast<std::uint16_t>(word(4, i));
    }
    const Buffer<B, f16> device(backend, 40 * 23);
    copy_from_host(backend, device.data(), host.data(), host.size() * sizeof(f16));
    for (const std::int64_t offset : {0, 1, 3}) {
      for (const std::int64_t cols : {17, 23}) {
        const Matrix<const f16> there(device.data() + offset, 39, cols, RowMajor{23});
        const Matrix<const f16> here(host.data() + offset, 39, cols, RowMajor{23});
        EXPECT_EQ(hash_in_place(backend, there), hash(here)) << B::kName << ' ' << offset;
      }
    }
  });
}

TEST(Inspect, FindsTheFirstOtherByte) {
  for_each_available([]<class B>(B backend) {
    constexpr std::int64_t kBytes = (std::int64_t{9} << 20) + 11;
    const Buffer<B, unsigned char> memory(backend, kBytes);
    fill(backend, memory.data(), 0xff, kBytes);
    const auto find = [&](std::int64_t begin, std::int64_t end) {
      return first_other_byte(backend, memory.data() + begin, 0xff, end - begin);
    };
    EXPECT_EQ(find(0, 0), std::nullopt);
    EXPECT_EQ(find(0, kBytes), std::nullopt) << B::kName;
    for (const std::int64_t at :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{8}, std::int64_t{4096}, kBytes / 2,
          (std::int64_t{4} << 20) - 1, std::int64_t{4} << 20, kBytes - 4, kBytes - 1}) {
      fill(backend, memory.data() + at, 0x7f, 1);
      EXPECT_EQ(find(0, kBytes), at) << B::kName;
      fill(backend, memory.data() + kBytes - 1, 0x7f, 1);
      EXPECT_EQ(find(0, kBytes), at) << B::kName;
      fill(backend, memory.data() + kBytes - 1, 0xff, 1);
      if (at == kBytes - 1) fill(backend, memory.data() + at, 0x7f, 1);
      // What lies outside is not looked at, wherever the range begins and ends within a word.
      EXPECT_EQ(find(at + 1, kBytes), std::nullopt) << B::kName << " after " << at;
      EXPECT_EQ(find(0, at), std::nullopt) << B::kName << " before " << at;
      EXPECT_EQ(find(at, at + 1), 0) << B::kName << " at " << at;
      if (at >= 3) {
        EXPECT_EQ(find(at - 3, kBytes), 3) << B::kName;
      }
      fill(backend, memory.data() + at, 0xff, 1);
    }
  });
}

}  // namespace
}  // namespace octet::harness
