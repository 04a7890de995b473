// NVML is read through a library loaded at run time: here one that answers as it is told, so that
// what becomes of its answers is known on a machine without a device.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "harness/cuda/nvml.hpp"

namespace octet::harness {
namespace {

const std::string kDevice = "GPU-00000000-0000-0000-0000-000000000001";

class FakeNvml : public testing::Test {
 protected:
  void list(const char* processes) { setenv("FAKE_NVML_PROCESSES", processes, 1); }
  void TearDown() override { unsetenv("FAKE_NVML_PROCESSES"); }
};

TEST_F(FakeNvml, ProcessesAreListed) {
  const Nvml nvml(OCTET_FAKE_NVML);
  list("4711 17 99");
  EXPECT_EQ(nvml.compute_processes(kDevice), (ProcessIds{4711, 17, 99}));
  list("");
  EXPECT_EQ(nvml.compute_processes(kDevice), ProcessIds{});
}

TEST_F(FakeNvml, ABusyDeviceIsSeenThroughIt) {
  const Nvml nvml(OCTET_FAKE_NVML);
  list("4711");
  ProcessWatch watch([&] { return nvml.compute_processes(kDevice); }, 17);
  list("4711 17");
  EXPECT_EQ(watch.others(), ProcessIds{4711});
}

TEST_F(FakeNvml, StateIsRead) {
  const Nvml nvml(OCTET_FAKE_NVML);
  const DeviceState state = nvml.state(kDevice);
  EXPECT_EQ(state.clock_sm_mhz, 1980);
  EXPECT_EQ(state.power_w, 350.5);
  EXPECT_EQ(state.energy_j, 12.5);
  EXPECT_EQ(state.throttle, std::vector<std::string>{"sw_power_cap"});
  // The library lacks these.
  EXPECT_EQ(state.temperature_c, std::nullopt);
}

TEST_F(FakeNvml, WhatHoldsTheClockDownIsNamed) {
  const Nvml nvml(OCTET_FAKE_NVML);
  setenv("FAKE_NVML_REASONS", "0x69", 1);  // idle, which holds nothing down, and three that do
  EXPECT_EQ(nvml.state(kDevice).throttle,
            (std::vector<std::string>{"hw_slowdown", "sw_thermal", "hw_thermal"}));
  setenv("FAKE_NVML_REASONS", "0x1", 1);
  EXPECT_EQ(nvml.state(kDevice).throttle, std::vector<std::string>{});
  unsetenv("FAKE_NVML_REASONS");
}

TEST_F(FakeNvml, ADeviceThatDisappearsIsLost) {
  const Nvml nvml(OCTET_FAKE_NVML);
  EXPECT_FALSE(nvml.state(kDevice).is_lost);
  for (const char* call : {"handle", "clock"}) {
    setenv("FAKE_NVML_LOST", call, 1);
    EXPECT_TRUE(nvml.state(kDevice).is_lost) << call;
  }
  unsetenv("FAKE_NVML_LOST");
  EXPECT_FALSE(nvml.state("GPU-2").is_lost);
}

TEST_F(FakeNvml, WhatItDoesNotSayStaysEmpty) {
  const Nvml nvml(OCTET_FAKE_NVML), missing("libno-such-library.so.1");
  list("4711");
  EXPECT_EQ(nvml.compute_processes("GPU-2"), std::nullopt);
  EXPECT_EQ(missing.compute_processes(kDevice), std::nullopt);
  EXPECT_EQ(missing.state(kDevice).clock_sm_mhz, std::nullopt);
  list("more than fit");
  EXPECT_EQ(nvml.compute_processes(kDevice), std::nullopt);
}

}  // namespace
}  // namespace octet::harness
