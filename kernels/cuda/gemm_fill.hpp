// What a product is where nothing is multiplied: its bias, or zero.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace octet::cuda {

/// `count` row-major matrices of elements of 1, 2 or 4 bytes.
struct Rows {
  void* data;
  std::int64_t element_bytes;
  std::int64_t rows, cols, ld;
  std::int64_t count, stride;
};

/// Every row becomes `row` (cols elements), or zero where that is null. Queued on `stream`.
void fill_rows(cudaStream_t stream, const void* row, const Rows& target);

}  // namespace octet::cuda
