// How a status of the CUDA runtime becomes an exception.
#pragma once

#include <cuda_runtime_api.h>

namespace octet::cuda {

/// Throws std::runtime_error with the runtime's own name and text unless `status` is cudaSuccess;
/// DeviceLost where the context, and with it this process, can do nothing more on the device.
/// `what` says what was attempted ("launching gemm_s8_mma_kernel"). The runtime's last error is
/// cleared, so that a later launch is not blamed for it.
void check(cudaError_t status, const char* what);

}  // namespace octet::cuda
