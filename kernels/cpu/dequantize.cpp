// Int32 accumulators and int8 to floating point; the contract is octet/dequantize.hpp.
//
// Rows are shared among the threads; the loops along a row, or along its part in a panel of Col32,
// are written for the vectorizer. An element costs 4 bytes (int8: 1) read and an output written.
#include "octet/dequantize.hpp"

#include <algorithm>
#include <cmath>

#include "cpu/parallel.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

/// `count` neighbours of a row; bias is null where there is none.
template <class T>
void dequantize_run(const s32* acc, float row_scale, const float* col_scale, const T* bias, T* out,
                    std::int64_t count) {
  if (bias == nullptr) {
    // The same bits as fma(a, s, +0), also where fma is a call: an integer times a float is a
    // multiple of the smallest subnormal, so it never rounds to zero, and adding +0 changes
    // nothing but -0.
    for (std::int64_t j = 0; j < count; ++j) {
      out[j] = T(static_cast<float>(acc[j]) * (row_scale * col_scale[j]) + 0.0f);
    }
  } else {
    for (std::int64_t j = 0; j < count; ++j) {
      out[j] = T(std::fma(static_cast<float>(acc[j]), row_scale * col_scale[j],
                          static_cast<float>(bias[j])));
    }
  }
}

/// `run` is how many columns lie side by side, from column 0 on.
template <class T, class Layout>
void dequantize_rows(Matrix<const s32, Layout> acc, Vector<const float> row_scale,
                     Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out,
                     std::int64_t run) {
  cpu::parallel_for(out.rows, cpu::rows_per_piece(out.cols),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        for (std::int64_t j = 0; j < out.cols; j += run) {
                          dequantize_run(&acc(i, j), row_scale(i), col_scale.data + j,
                                         bias.length == 0 ? nullptr : bias.data + j, &out(i, j),
                                         std::min(run, out.cols - j));
                        }
                      }
                    });
}

}  // namespace

template <class T>
void dequantize(Cpu, Matrix<const s32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out) {
  preconditions::dequantize(acc, row_scale, col_scale, bias, out);
  if (out.empty()) return;
  dequantize_rows(acc, row_scale, col_scale, bias, out, out.cols);
}

template <class T>
void dequantize(Cpu, Matrix<const s32, Col32> acc, Vector<const float> row_scale,
                Vector<const float> col_scale, Vector<const T> bias, Matrix<T> out) {
  preconditions::dequantize(acc, row_scale, col_scale, bias, out);
  if (out.empty()) return;
  dequantize_rows(acc, row_scale, col_scale, bias, out, 32);
}

template <class T>
void dequantize_rowwise(Cpu, Matrix<const s8> q, Vector<const float> row_scale, Matrix<T> out) {
  preconditions::dequantize_rowwise(q, row_scale, out);
  if (out.empty()) return;
  cpu::parallel_for(out.rows, cpu::rows_per_piece(out.cols),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        const s8* from = &q(i, 0);
                        T* to = &out(i, 0);
                        const float scale = row_scale(i);
                        for (std::int64_t j = 0; j < out.cols; ++j) {
                          to[j] = T(static_cast<float>(from[j]) * scale);
                        }
                      }
                    });
}

template void dequantize(Cpu, Matrix<const s32>, Vector<const float>, Vector<const float>,
                         Vector<const f16>, Matrix<f16>);
template void dequantize(Cpu, Matrix<const s32>, Vector<const float>, Vector<const float>,
                         Vector<const bf16>, Matrix<bf16>);
template void dequantize(Cpu, Matrix<const s32>, Vector<const float>, Vector<const float>,
                         Vector<const f32>, Matrix<f32>);
template void dequantize(Cpu, Matrix<const s32, Col32>, Vector<const float>, Vector<const float>,
                         Vector<const f16>, Matrix<f16>);
template void dequantize(Cpu, Matrix<const s32, Col32>, Vector<const float>, Vector<const float>,
                         Vector<const bf16>, Matrix<bf16>);
template void dequantize(Cpu, Matrix<const s32, Col32>, Vector<const float>, Vector<const float>,
                         Vector<const f32>, Matrix<f32>);
template void dequantize_rowwise(Cpu, Matrix<const s8>, Vector<const float>, Matrix<f16>);
template void dequantize_rowwise(Cpu, Matrix<const s8>, Vector<const float>, Matrix<bf16>);
template void dequantize_rowwise(Cpu, Matrix<const s8>, Vector<const float>, Matrix<f32>);

}  // namespace octet
