// Which GPU of several a test process may use.
#pragma once

namespace octet::harness {

/// Honours ctest's resource allocation (RESOURCE_GROUPS,
/// CTEST_RESOURCE_GROUP_0_GPUS="id:1,slots:1"): leaves the process only that GPU, through
/// CUDA_VISIBLE_DEVICES, whose ordinals the ids are. Must be called before CUDA starts; without an
/// allocation it does nothing. Throws std::runtime_error for an allocation that it does not
/// understand.
void honour_resource_allocation();

}  // namespace octet::harness
