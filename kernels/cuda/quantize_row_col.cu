// quantize_row_col and quantize_colwise; how is told in quantize_row_col.cuh.
//
// Any extents, leading dimensions and alignment. Accesses take 16 bytes (x, q_col) and 8 or 4
// (q_row) where alignment allows it.
#include "octet/quantize.hpp"

#include "cuda/quantize_row_col.cuh"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using namespace cuda;  // NOLINT(google-build-using-namespace): this backend's own pieces

}  // namespace

template <class T>
void quantize_colwise(Cuda backend, Matrix<const T> x, Matrix<s8> q_col, Vector<float> col_scale) {
  preconditions::quantize_colwise(x, q_col, col_scale);
  if (x.empty()) return;
  constexpr const char* kWhat = "launching quantize_colwise";
  const RowCol<T> p = row_col_of(x, {}, {}, q_col, col_scale);
  clear(kWhat, backend.stream, {{words_of(col_scale.data)}, {x.cols}});
  take_absmax<Copies::col, Kept::all>(kWhat, backend.stream, p);
  convert<Copies::col, Kept::all>(kWhat, backend.stream, p);
}

template <class T>
void quantize_row_col(Cuda backend, Matrix<const T> x, Matrix<s8> q_row, Vector<float> row_scale,
                      Matrix<s8> q_col, Vector<float> col_scale) {
  preconditions::quantize_row_col(x, q_row, row_scale, q_col, col_scale);
  if (x.empty()) return;
  constexpr const char* kWhat = "launching quantize_row_col";
  const RowCol<T> p = row_col_of(x, q_row, row_scale, q_col, col_scale);
  clear(kWhat, backend.stream,
        {{words_of(row_scale.data), words_of(col_scale.data)}, {x.rows, x.cols}});
  take_absmax<Copies::row_col, Kept::all>(kWhat, backend.stream, p);
  convert<Copies::row_col, Kept::all>(kWhat, backend.stream, p);
}

template void quantize_colwise<f16>(Cuda, Matrix<const f16>, Matrix<s8>, Vector<float>);
template void quantize_colwise<bf16>(Cuda, Matrix<const bf16>, Matrix<s8>, Vector<float>);
template void quantize_colwise<f32>(Cuda, Matrix<const f32>, Matrix<s8>, Vector<float>);
template void quantize_row_col<f16>(Cuda, Matrix<const f16>, Matrix<s8>, Vector<float>, Matrix<s8>,
                                    Vector<float>);
template void quantize_row_col<bf16>(Cuda, Matrix<const bf16>, Matrix<s8>, Vector<float>,
                                     Matrix<s8>, Vector<float>);
template void quantize_row_col<f32>(Cuda, Matrix<const f32>, Matrix<s8>, Vector<float>, Matrix<s8>,
                                    Vector<float>);

}  // namespace octet
