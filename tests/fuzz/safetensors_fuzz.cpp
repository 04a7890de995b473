// A safetensors file: tensors that lie within it, side by side, or one sentence.
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>

#include "harness/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    const std::byte* end = nullptr;
    for (const octet::harness::StoredTensor& tensor : octet::harness::parse_safetensors(file)) {
      const std::span<const std::byte> bytes = tensor.bytes;
      if (!bytes.empty() && end != nullptr && bytes.data() != end) __builtin_trap();
      if (!bytes.empty()) end = bytes.data() + bytes.size();
      float sum = 0;
      for (std::int64_t n = 0; n < tensor.size(); ++n) sum += tensor[n];
      volatile float kept = sum;
      static_cast<void>(kept);
    }
    if (end != nullptr && end != file.data() + file.size()) __builtin_trap();
  } catch (const std::invalid_argument& error) {
    if (std::string_view(error.what()).empty()) __builtin_trap();
  }
  return 0;
}
