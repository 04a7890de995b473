// An OCTET_PLANS file's text: choices, whatever else its lines hold.
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>

#include "harness/plans.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream text(std::string(reinterpret_cast<const char*>(data), size));
  static_cast<void>(octet::harness::choices_in(text, "A", "1"));
  return 0;
}
