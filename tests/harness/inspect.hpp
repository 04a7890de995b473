// Inspection of a backend's memory where it lies, whatever the backend: full-size tensors are
// looked at many times, and copying one to the host takes longer than timing it.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/parallel.hpp"
#include "octet/backend.hpp"

namespace octet::harness {

/// Where the first byte lies that is not `value`; nothing where all are.
inline std::optional<std::int64_t> first_other_byte(Cpu, const void* data, unsigned char value,
                                                    std::int64_t bytes) {
  return first_other_byte(data, value, bytes);
}
std::optional<std::int64_t> first_other_byte(Cuda backend, const void* data, unsigned char value,
                                             std::int64_t bytes);

}  // namespace octet::harness
