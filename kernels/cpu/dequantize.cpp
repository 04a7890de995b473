// Int32 accumulators to floating point; the contract is octet/dequantize.hpp.
//
// Rows are shared among the threads; the loops along a row are written for the vectorizer. An
// element costs 4 bytes read and an output written.
#include "octet/dequantize.hpp"

#include <cmath>

#include "cpu/parallel.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {

template <class T>
void dequantize(Cpu, Matrix<const s32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out) {
  preconditions::dequantize(acc, row_scale, col_scale, bias, out);
  if (out.empty()) return;
  const auto rows = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const s32* a = &acc(i, 0);
      T* o = &out(i, 0);
      const float scale = row_scale(i);
      if (bias.length == 0) {
        // The same bits as fma(a, s, +0), also where fma is a call: an integer times a float is a
        // multiple of the smallest subnormal, so it never rounds to zero, and adding +0 changes
        // nothing but -0.
        for (std::int64_t j = 0; j < out.cols; ++j) {
          o[j] = T(static_cast<float>(a[j]) * (scale * col_scale(j)) + 0.0f);
        }
      } else {
        for (std::int64_t j = 0; j < out.cols; ++j) {
          o[j] = T(std::fma(static_cast<float>(a[j]), scale * col_scale(j),
                            static_cast<float>(bias(j))));
        }
      }
    }
  };
  cpu::parallel_for(out.rows, cpu::rows_per_piece(out.cols), rows);
}

template void dequantize(Cpu, Matrix<const s32>, Vector<const float>, Vector<const float>,
                         Vector<const f16>, Matrix<f16>);
template void dequantize(Cpu, Matrix<const s32>, Vector<const float>, Vector<const float>,
                         Vector<const bf16>, Matrix<bf16>);
template void dequantize(Cpu, Matrix<const s32>, Vector<const float>, Vector<const float>,
                         Vector<const f32>, Matrix<f32>);

}  // namespace octet
