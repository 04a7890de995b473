// Quantization to e4m3; the contract is octet/quantize_e4m3.hpp, the arithmetic cpu/quantize.hpp.
#include "octet/quantize_e4m3.hpp"

#include "cpu/quantize.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

Matrix<s8> bytes(Matrix<e4m3> q) {
  return {reinterpret_cast<s8*>(q.data), q.rows, q.cols, q.layout};
}

}  // namespace

template <class T>
void quantize_rowwise(Cpu, Matrix<const T> x, Matrix<e4m3> q, Vector<float> row_scale) {
  preconditions::quantize_rowwise(x, q, row_scale);
  if (x.empty()) return;
  cpu::quantize_rows<T, cpu::KeepAll, e4m3>(x, bytes(q), row_scale);
}

template <class T>
void quantize_row_col(Cpu, Matrix<const T> x, Matrix<e4m3> q_row, Vector<float> row_scale,
                      Matrix<e4m3> q_col, Vector<float> col_scale) {
  preconditions::quantize_row_col(x, q_row, row_scale, q_col, col_scale);
  if (x.empty()) return;
  cpu::quantize_rows<T, cpu::KeepAll, e4m3>(x, bytes(q_row), row_scale);
  cpu::quantize_columns<T, cpu::KeepAll, e4m3>(x, bytes(q_col), col_scale);
}

template void quantize_rowwise(Cpu, Matrix<const f16>, Matrix<e4m3>, Vector<float>);
template void quantize_rowwise(Cpu, Matrix<const bf16>, Matrix<e4m3>, Vector<float>);
template void quantize_rowwise(Cpu, Matrix<const f32>, Matrix<e4m3>, Vector<float>);
template void quantize_row_col(Cpu, Matrix<const f16>, Matrix<e4m3>, Vector<float>, Matrix<e4m3>,
                               Vector<float>);
template void quantize_row_col(Cpu, Matrix<const bf16>, Matrix<e4m3>, Vector<float>, Matrix<e4m3>,
                               Vector<float>);
template void quantize_row_col(Cpu, Matrix<const f32>, Matrix<e4m3>, Vector<float>, Matrix<e4m3>,
                               Vector<float>);

}  // namespace octet
