#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "harness/environment.hpp"

namespace octet::harness {

std::string cuda_version(Cuda) {
  int version = 0;
  if (cudaRuntimeGetVersion(&version) != cudaSuccess) return "";
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string cublaslt_version(Cuda) {
  const std::size_t version = cublasLtGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

}  // namespace octet::harness
