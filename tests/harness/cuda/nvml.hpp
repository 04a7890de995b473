// The driver's management library, loaded at run time so that nothing here needs a driver to start.
#pragma once

#include <string>

#include "harness/environment.hpp"

namespace octet::harness {

/// `uuid` as device_info has it. Never throws; what NVML does not say stays empty.
DeviceState nvml_state(const std::string& uuid) noexcept;

}  // namespace octet::harness
