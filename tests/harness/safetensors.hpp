// Reads safetensors: 8 bytes of little-endian header length, a JSON header of tensors, their data.
//
// Strict, because a file comes from anywhere: the bytes are all that is looked at, nothing is
// allocated but for the header, and a file that says anything twice, leaves anything out or holds
// anything besides is refused with one sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "octet/numeric.hpp"

namespace octet::harness {

/// Tensors of a few names need far less.
inline constexpr std::uint64_t kLargestHeaderBytes = 1 << 20;

struct StoredTensor {
  std::string name;
  DType type = DType::f32;           // f16, bf16 or f32
  std::vector<std::int64_t> shape;   // row-major
  std::span<const std::byte> bytes;  // of the file, maybe not aligned to the type

  std::int64_t size() const;
  /// Element n as f32, which holds it exactly.
  float operator[](std::int64_t n) const;
};

/// The tensors of a file, in the order of their data; they refer to `file`. Throws
/// std::invalid_argument that says what is wrong, as the rest of a sentence that names the file.
std::vector<StoredTensor> parse_safetensors(std::span<const std::byte> file);

}  // namespace octet::harness
