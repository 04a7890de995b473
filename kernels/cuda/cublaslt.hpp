// cuBLASLt, loaded when a function of it is first called: its half gigabyte takes a process 80 ms
// to map and relocate, and most cases, each a process of its own under ctest, need no product.
//
// In this namespace its functions are objects by the same names. One that is missing from the list
// below does not link, since nothing links with the library.
#pragma once

#include <cublasLt.h>

#include <atomic>

namespace octet::cuda {

/// The address of a function of cuBLASLt. Throws std::runtime_error with the loader's own message.
void* find_in_cublaslt(const char* name);

template <class Function>
class CublasLtFunction;

/// Called as the function that it stands for; also throws as find_in_cublaslt.
template <class R, class... Args>
class CublasLtFunction<R(Args...)> {
 public:
  explicit constexpr CublasLtFunction(const char* name) : name_(name) {}
  R operator()(Args... args) const {
    void* address = address_.load(std::memory_order_relaxed);
    if (address == nullptr) {
      address = find_in_cublaslt(name_);
      address_.store(address, std::memory_order_relaxed);
    }
    return reinterpret_cast<R (*)(Args...)>(address)(args...);
  }

 private:
  const char* name_;
  mutable std::atomic<void*> address_ = nullptr;
};

#define OCTET_CUBLASLT(function) \
  inline constinit const CublasLtFunction<decltype(::function)> function(#function)
OCTET_CUBLASLT(cublasLtCreate);
OCTET_CUBLASLT(cublasLtDestroy);
OCTET_CUBLASLT(cublasLtGetStatusName);
OCTET_CUBLASLT(cublasLtGetStatusString);
OCTET_CUBLASLT(cublasLtGetVersion);
OCTET_CUBLASLT(cublasLtMatmul);
OCTET_CUBLASLT(cublasLtMatmulAlgoCapGetAttribute);
OCTET_CUBLASLT(cublasLtMatmulAlgoCheck);
OCTET_CUBLASLT(cublasLtMatmulAlgoConfigGetAttribute);
OCTET_CUBLASLT(cublasLtMatmulAlgoGetHeuristic);
OCTET_CUBLASLT(cublasLtMatmulDescCreate);
OCTET_CUBLASLT(cublasLtMatmulDescDestroy);
OCTET_CUBLASLT(cublasLtMatmulDescSetAttribute);
OCTET_CUBLASLT(cublasLtMatmulPreferenceCreate);
OCTET_CUBLASLT(cublasLtMatmulPreferenceDestroy);
OCTET_CUBLASLT(cublasLtMatmulPreferenceSetAttribute);
OCTET_CUBLASLT(cublasLtMatrixLayoutCreate);
OCTET_CUBLASLT(cublasLtMatrixLayoutDestroy);
OCTET_CUBLASLT(cublasLtMatrixLayoutSetAttribute);
OCTET_CUBLASLT(cublasLtMatrixTransform);
OCTET_CUBLASLT(cublasLtMatrixTransformDescCreate);
OCTET_CUBLASLT(cublasLtMatrixTransformDescDestroy);
#undef OCTET_CUBLASLT

}  // namespace octet::cuda
