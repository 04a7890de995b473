// A thresholds file's text: floors, or one sentence; and floors that were taken can be judged by.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "harness/floors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace octet::harness;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Json floors;
  try {
    floors = floors_in(text, "NVIDIA H200", "file");
  } catch (const std::runtime_error& error) {
    if (!std::string_view(error.what()).starts_with("thresholds: file")) throw;
    return 0;
  }
  for (const Json& floor : floors) {
    static_cast<void>(floor["test"].get<std::string>());
    if (!(floor["floor"].get<double>() > 0)) __builtin_trap();
  }
  return 0;
}
