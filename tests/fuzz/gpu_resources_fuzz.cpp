// What ctest and CUDA_VISIBLE_DEVICES say, a line each: one device, or one sentence.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "harness/gpu_resources.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = text.find('\n');
  const std::string visible = end == std::string::npos ? "" : text.substr(end + 1);
  try {
    const std::string device =
        octet::harness::allocated_device(std::string_view(text).substr(0, end),
                                         end == std::string::npos ? nullptr : visible.c_str());
    if (device.find(',') != std::string::npos) __builtin_trap();
  } catch (const std::runtime_error& error) {
    if (!std::string_view(error.what()).starts_with("CTEST_RESOURCE_GROUP_0_GPUS")) throw;
  }
  return 0;
}
