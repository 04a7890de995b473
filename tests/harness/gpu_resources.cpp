#include "harness/gpu_resources.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace octet::harness {

std::string allocated_device(std::string_view allocation, const char* visible) {
  constexpr std::string_view kPrefix = "id:";
  std::size_t id = 0;
  const char* end = allocation.data() + allocation.size();
  bool understood = allocation.starts_with(kPrefix);
  if (understood) {
    const auto [rest, error] = std::from_chars(allocation.data() + kPrefix.size(), end, id);
    understood = error == std::errc{} && (rest == end || *rest == ',');
  }
  if (!understood) {
    throw std::runtime_error(fmt::format(
        "CTEST_RESOURCE_GROUP_0_GPUS is '{}' but must begin with id: and a GPU's ordinal",
        allocation));
  }
  if (visible == nullptr) return std::to_string(id);
  // The ids count the GPUs that were visible when the resource file was made.
  std::istringstream list(visible);
  std::vector<std::string> devices;
  for (std::string entry; std::getline(list, entry, ',');) devices.push_back(entry);
  if (id >= devices.size()) {
    throw std::runtime_error(fmt::format(
        "CTEST_RESOURCE_GROUP_0_GPUS asks for GPU {}, but CUDA_VISIBLE_DEVICES names {}", id,
        devices.size()));
  }
  return devices[id];
}

void honour_resource_allocation() {
  const char* allocation = std::getenv("CTEST_RESOURCE_GROUP_0_GPUS");
  if (allocation == nullptr) return;
  const std::string device = allocated_device(allocation, std::getenv("CUDA_VISIBLE_DEVICES"));
  setenv("CUDA_VISIBLE_DEVICES", device.c_str(), /*overwrite=*/1);
}

}  // namespace octet::harness
