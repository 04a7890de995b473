// Decomposed products: what a threshold sets apart stays in floating point and is added to the int8
// product of the rest.
//
// An element is an outlier when not (|x| < threshold), so NaN and Inf are. Lists live on the device
// and so do their lengths: nothing here synchronizes. A list that was too small says so in its
// count, and whoever consumes it fills its whole output with NaN, so that nobody can miss it.
//
// Sums are f32 fma chains in the list's order, so every backend gives the same bits:
//   acc = 0; for each entry of the row (column): acc = fma(value, w, acc)
//
// Errors: as in quantize.hpp; a threshold that is not a positive number, a list or a workspace that
// is null, too small or misaligned, extents of 2^31 and more (a list's indices are 32 bits wide).
//
// Source: LLM.int8() (Dettmers et al., 2022); bitsandbytes' spmm_coo and extract_outliers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "octet/backend.hpp"
#include "octet/gemm.hpp"
#include "octet/layout.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet {

/// Entries (row, col, value) of a matrix [rows, cols], sorted by row and then column; or, where a
/// function says so, by column and then row.
template <class T>
struct CooList {
  s32* row = nullptr;  // capacity elements each
  s32* col = nullptr;
  T* value = nullptr;
  std::int64_t capacity = 0;
  /// One number in the backend's memory: the entries that there are. Over `capacity` the list has
  /// overflowed and its entries mean nothing.
  std::int64_t* count = nullptr;
  std::int64_t rows = 0, cols = 0;
};

/// element: an outlier goes to the list. column: so does every element of a column that holds one
/// (LLM.int8's decomposition), zeros included.
enum class OutlierMode : std::uint8_t { element, column };

/// Bytes that quantize_row_col with a threshold needs beside its outputs, aligned to 256.
std::int64_t quantize_row_col_workspace_bytes(std::int64_t rows, std::int64_t cols);

/// quantize_row_col of what the threshold leaves: a listed element counts in neither statistic and
/// is 0 in both int8 copies. x[R,C] -> q_row[R,C], row_scale[R], q_col[C,R], col_scale[C],
/// outliers[R,C] by row, whose count is written also where R or C is 0. T is f16, bf16 or f32.
template <class T>
void quantize_row_col(Cpu, Matrix<const T> x, float threshold, OutlierMode mode, Matrix<s8> q_row,
                      Vector<float> row_scale, Matrix<s8> q_col, Vector<float> col_scale,
                      CooList<T> outliers, Vector<std::byte> workspace);
template <class T>
void quantize_row_col(Cuda, Matrix<const T> x, float threshold, OutlierMode mode, Matrix<s8> q_row,
                      Vector<float> row_scale, Matrix<s8> q_col, Vector<float> col_scale,
                      CooList<T> outliers, Vector<std::byte> workspace);

/// The first entry of each row of a list that is sorted by row, and the list's end:
/// row_offsets[rows + 1], as CSR has it. All -1 where the list has overflowed.
template <class T>
void coo_to_csr(Cpu, const CooList<T>& coo, Vector<std::int64_t> row_offsets);
template <class T>
void coo_to_csr(Cuda, const CooList<T>& coo, Vector<std::int64_t> row_offsets);

/// Bytes that sort_by_column needs, aligned to 256.
std::int64_t sort_by_column_workspace_bytes(Cpu, std::int64_t capacity);
std::int64_t sort_by_column_workspace_bytes(Cuda, std::int64_t capacity);

/// The entries of a list by row, sorted by column and then row. by_column has at least the same
/// capacity and memory of its own; it gets the count, overflow included.
template <class T>
void sort_by_column(Cpu, const CooList<T>& by_row, const CooList<T>& by_column,
                    Vector<std::byte> workspace);
template <class T>
void sort_by_column(Cuda, const CooList<T>& by_row, const CooList<T>& by_column,
                    Vector<std::byte> workspace);

/// out[M,N] = T( float(out) + coo[M,K] . w[N,K]^T ), coo by row, w as it lies in either direction.
/// T is f16 or bf16. A row without entries is left as it is, the sign of its zeros included; so is
/// a column in spmm_coo_transposed.
template <class T>
void spmm_coo(Cpu, const CooList<T>& coo, Operand<T> w, Matrix<T> out);
template <class T>
void spmm_coo(Cuda, const CooList<T>& coo, Operand<T> w, Matrix<T> out);

/// out[M,N] = T( fma( coo[M,K] . w[N,K]^T, w_scale[N], float(out) ) ), w in int8 with a scale for
/// each of its rows.
template <class T>
void spmm_coo(Cpu, const CooList<T>& coo, Matrix<const s8> w, Vector<const float> w_scale,
              Matrix<T> out);
template <class T>
void spmm_coo(Cuda, const CooList<T>& coo, Matrix<const s8> w, Vector<const float> w_scale,
              Matrix<T> out);

/// For weight gradients: out[M,N] = T( float(out) + x[T,M]^T . coo[T,N] ), coo by column. T is f16
/// or bf16.
template <class T>
void spmm_coo_transposed(Cpu, Matrix<const T> x, const CooList<T>& by_column, Matrix<T> out);
template <class T>
void spmm_coo_transposed(Cuda, Matrix<const T> x, const CooList<T>& by_column, Matrix<T> out);

/// out[i,j] = w(i, columns[j]): columns gathered out of a laid-out matrix w[R,C]. T is s8 in any
/// layout of layout.hpp, f16 or bf16 in RowMajor. A column that is negative or beyond C gives
/// zeros, so that a list may be padded with -1.
template <class T, class L>
void extract_outliers(Cpu, Matrix<const T, L> w, Vector<const s32> columns, Matrix<T> out);
template <class T, class L>
void extract_outliers(Cuda, Matrix<const T, L> w, Vector<const s32> columns, Matrix<T> out);

}  // namespace octet
