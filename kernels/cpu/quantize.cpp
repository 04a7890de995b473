// Quantization to int8; the contract is octet/quantize.hpp, the arithmetic cpu/quantize.hpp.
#include "octet/quantize.hpp"

#include "cpu/quantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {

template <class T>
void quantize_rowwise(Cpu, Matrix<const T> x, Matrix<s8> q, Vector<float> row_scale) {
  preconditions::quantize_rowwise(x, q, row_scale);
  if (x.empty()) return;
  cpu::quantize_rows(x, q, row_scale);
}

template <class T>
void quantize_colwise(Cpu, Matrix<const T> x, Matrix<s8> q_col, Vector<float> col_scale) {
  preconditions::quantize_colwise(x, q_col, col_scale);
  if (x.empty()) return;
  cpu::quantize_columns(x, q_col, col_scale);
}

template <class T>
void quantize_row_col(Cpu, Matrix<const T> x, Matrix<s8> q_row, Vector<float> row_scale,
                      Matrix<s8> q_col, Vector<float> col_scale) {
  preconditions::quantize_row_col(x, q_row, row_scale, q_col, col_scale);
  if (x.empty()) return;
  cpu::quantize_rows(x, q_row, row_scale);
  cpu::quantize_columns(x, q_col, col_scale);
}

template void quantize_rowwise(Cpu, Matrix<const f16>, Matrix<s8>, Vector<float>);
template void quantize_rowwise(Cpu, Matrix<const bf16>, Matrix<s8>, Vector<float>);
template void quantize_rowwise(Cpu, Matrix<const f32>, Matrix<s8>, Vector<float>);
template void quantize_colwise(Cpu, Matrix<const f16>, Matrix<s8>, Vector<float>);
template void quantize_colwise(Cpu, Matrix<const bf16>, Matrix<s8>, Vector<float>);
template void quantize_colwise(Cpu, Matrix<const f32>, Matrix<s8>, Vector<float>);
template void quantize_row_col(Cpu, Matrix<const f16>, Matrix<s8>, Vector<float>, Matrix<s8>,
                               Vector<float>);
template void quantize_row_col(Cpu, Matrix<const bf16>, Matrix<s8>, Vector<float>, Matrix<s8>,
                               Vector<float>);
template void quantize_row_col(Cpu, Matrix<const f32>, Matrix<s8>, Vector<float>, Matrix<s8>,
                               Vector<float>);

}  // namespace octet
