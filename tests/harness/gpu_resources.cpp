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

void honour_resource_allocation() {
  const char* allocation = std::getenv("CTEST_RESOURCE_GROUP_0_GPUS");
  if (allocation == nullptr) return;
  constexpr std::string_view kPrefix = "id:";
  const std::string_view text = allocation;
  std::size_t id = 0;
  const bool understood =
      text.starts_with(kPrefix) &&
      std::from_chars(text.data() + kPrefix.size(), text.data() + text.size(), id).ec ==
          std::errc{};
  if (!understood) {
    throw std::runtime_error(fmt::format(
        "CTEST_RESOURCE_GROUP_0_GPUS is '{}' but must begin with id: and a GPU's ordinal", text));
  }
  // The ids count the GPUs that were visible when the resource file was made.
  std::string device = std::to_string(id);
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::istringstream list(visible);
    std::vector<std::string> devices;
    for (std::string entry; std::getline(list, entry, ',');) devices.push_back(entry);
    if (id >= devices.size()) {
      throw std::runtime_error(fmt::format(
          "CTEST_RESOURCE_GROUP_0_GPUS asks for GPU {}, but CUDA_VISIBLE_DEVICES names {}", id,
          devices.size()));
    }
    device = devices[id];
  }
  setenv("CUDA_VISIBLE_DEVICES", device.c_str(), /*overwrite=*/1);
}

}  // namespace octet::harness
