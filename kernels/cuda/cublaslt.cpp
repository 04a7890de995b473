#include "cuda/cublaslt.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace octet::cuda {
namespace {

/// By the loader's own search, else where the build found it.
void* load() {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  void* library = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (library != nullptr) return library;
  const std::string why = dlerror();
  library = dlopen(OCTET_CUBLASLT_FILE, RTLD_LAZY | RTLD_LOCAL);
  if (library != nullptr) return library;
  throw std::runtime_error(fmt::format(
      "cuBLASLt: {} cannot be loaded: {}; put its folder on LD_LIBRARY_PATH", name, why));
}

}  // namespace

void* find_in_cublaslt(const char* name) {
  static void* const library = load();
  void* address = dlsym(library, name);
  if (address == nullptr) throw std::runtime_error(fmt::format("cuBLASLt: {}", dlerror()));
  return address;
}

}  // namespace octet::cuda
