// quantize_rowwise and quantize_row_col to e4m3, bit-exact with quantize_e4m3.hpp, by the kernels
// of int8; how is told in quantize_rowwise.cuh and quantize_row_col.cuh. Compute capability 8.9 and
// later round two values to e4m3 in one instruction, others in software.
//
// Any extents, leading dimensions and alignment.
#include "octet/quantize_e4m3.hpp"

#include "cuda/quantize_row_col.cuh"
#include "cuda/quantize_rowwise.cuh"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

Matrix<s8> bytes(Matrix<e4m3> q) {
  return {reinterpret_cast<s8*>(q.data), q.rows, q.cols, q.layout};
}

}  // namespace

template <class T>
void quantize_rowwise(Cuda backend, Matrix<const T> x, Matrix<e4m3> q, Vector<float> row_scale) {
  preconditions::quantize_rowwise(x, q, row_scale);
  if (x.empty()) return;
  launch_quantize_rowwise<e4m3>(backend, x, bytes(q), row_scale);
}

template <class T>
void quantize_row_col(Cuda backend, Matrix<const T> x, Matrix<e4m3> q_row, Vector<float> row_scale,
                      Matrix<e4m3> q_col, Vector<float> col_scale) {
  preconditions::quantize_row_col(x, q_row, row_scale, q_col, col_scale);
  if (x.empty()) return;
  constexpr const char* kWhat = "launching quantize_row_col to e4m3";
  const RowCol<T> p = row_col_of(x, bytes(q_row), row_scale, bytes(q_col), col_scale);
  clear(kWhat, backend.stream,
        {{words_of(row_scale.data), words_of(col_scale.data)}, {x.rows, x.cols}});
  take_absmax<Copies::row_col, Kept::all>(kWhat, backend.stream, p);
  convert<Copies::row_col, Kept::all, e4m3>(kWhat, backend.stream, p);
}

template void quantize_rowwise<f16>(Cuda, Matrix<const f16>, Matrix<e4m3>, Vector<float>);
template void quantize_rowwise<bf16>(Cuda, Matrix<const bf16>, Matrix<e4m3>, Vector<float>);
template void quantize_rowwise<f32>(Cuda, Matrix<const f32>, Matrix<e4m3>, Vector<float>);
template void quantize_row_col<f16>(Cuda, Matrix<const f16>, Matrix<e4m3>, Vector<float>,
                                    Matrix<e4m3>, Vector<float>);
template void quantize_row_col<bf16>(Cuda, Matrix<const bf16>, Matrix<e4m3>, Vector<float>,
                                     Matrix<e4m3>, Vector<float>);
template void quantize_row_col<f32>(Cuda, Matrix<const f32>, Matrix<e4m3>, Vector<float>,
                                    Matrix<e4m3>, Vector<float>);

}  // namespace octet
