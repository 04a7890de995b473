// quantize_rows on CUDA: a warp for each row, a lane for every 32nd element. Reads each element
// twice, writes its int8 and a scale for each row. Any shape, any leading dimension.
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>

#include "quantize_rows.hpp"

namespace outside {
namespace {

constexpr int kWarp = 32;
constexpr int kRowsOfBlock = 8;
constexpr std::int64_t kMostBlocks = 1 << 20;

__global__ void quantize_rows_kernel(octet::Matrix<const octet::f16> x, octet::Matrix<octet::s8> q,
                                     octet::Vector<float> row_scale) {
  const int lane = static_cast<int>(threadIdx.x);
  const std::int64_t step = std::int64_t{gridDim.x} * kRowsOfBlock;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.y; i < x.rows;
       i += step) {
    // The statistic; NaN and Inf are remembered apart, because fmaxf drops a NaN.
    float absmax = 0;
    bool finite = true;
    for (std::int64_t j = lane; j < x.cols; j += kWarp) {
      const float magnitude = fabsf(static_cast<float>(x(i, j)));
      finite = finite && isfinite(magnitude);
      absmax = fmaxf(absmax, magnitude);
    }
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
      absmax = fmaxf(absmax, __shfl_xor_sync(0xffffffffu, absmax, distance));
    }
    finite = __all_sync(0xffffffffu, finite) != 0;

    const float quotient = __fdiv_rn(127.0f, absmax);
    const float multiplier = finite && isfinite(quotient) ? quotient : 0.0f;
    for (std::int64_t j = lane; j < x.cols; j += kWarp) {
      const float scaled = __fmul_rn(static_cast<float>(x(i, j)), multiplier);
      q(i, j) = multiplier == 0 ? octet::s8{0} : static_cast<octet::s8>(rintf(scaled));
    }
    if (lane == 0) {
      const float scale = multiplier == 0 ? 0.0f : __fdiv_rn(absmax, 127.0f);
      row_scale(i) = finite ? scale : __int_as_float(0x7fc00000);
    }
  }
}

}  // namespace

void quantize_rows(octet::Cuda cuda, octet::Matrix<const octet::f16> x, octet::Matrix<octet::s8> q,
                   octet::Vector<float> row_scale) {
  if (x.empty()) return;
  const std::int64_t blocks = (x.rows + kRowsOfBlock - 1) / kRowsOfBlock;
  quantize_rows_kernel<<<static_cast<unsigned>(std::min(blocks, kMostBlocks)),
                         dim3(kWarp, kRowsOfBlock), 0, cuda.stream>>>(x, q, row_scale);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) {
    throw std::runtime_error(cudaGetErrorString(error));
  }
}

}  // namespace outside
