#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "harness/environment.hpp"

namespace octet::harness {

std::string cuda_version(Cuda) {
  int version = 0;
  if (cudaRuntimeGetVersion(&version) != cudaSuccess) return "";
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace octet::harness
