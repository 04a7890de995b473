// quantize_rowwise: floating point to int8 with a scale for each row, bit-exact with quantize.hpp;
// how is told in quantize_rowwise.cuh.
#include "cuda/quantize_rowwise.cuh"
#include "octet/quantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {

template <class T>
void quantize_rowwise(Cuda backend, Matrix<const T> x, Matrix<s8> q, Vector<float> row_scale) {
  preconditions::quantize_rowwise(x, q, row_scale);
  if (x.empty()) return;
  cuda::launch_quantize_rowwise<s8>(backend, x, q, row_scale);
}

template void quantize_rowwise<f16>(Cuda, Matrix<const f16>, Matrix<s8>, Vector<float>);
template void quantize_rowwise<bf16>(Cuda, Matrix<const bf16>, Matrix<s8>, Vector<float>);
template void quantize_rowwise<f32>(Cuda, Matrix<const f32>, Matrix<s8>, Vector<float>);

}  // namespace octet
