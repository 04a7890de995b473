// Which GPU of several a test process may use.
#pragma once

#include <string>
#include <string_view>

namespace octet::harness {

/// Honours ctest's resource allocation (RESOURCE_GROUPS,
/// CTEST_RESOURCE_GROUP_0_GPUS="id:1,slots:1"): leaves the process only that GPU, through
/// CUDA_VISIBLE_DEVICES, whose ordinals the ids are. Must be called before CUDA starts; without an
/// allocation it does nothing. Throws std::runtime_error for an allocation that it does not
/// understand.
void honour_resource_allocation();

/// What CUDA_VISIBLE_DEVICES must be for an allocation ("id:1,slots:1"), where it was `visible`
/// (nullptr: not set). Throws the same error.
std::string allocated_device(std::string_view allocation, const char* visible);

}  // namespace octet::harness
