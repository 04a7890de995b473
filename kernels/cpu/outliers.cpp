// What a threshold sets apart: quantize_row_col with a threshold, and lists of outliers; the
// contract is octet/outliers.hpp.
//
// The list: entries of each row are counted, the counts summed up, and each row written where its
// entries begin, so that threads share the work and the order does not depend on them.
#include "octet/outliers.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "cpu/quantize.hpp"
#include "preconditions/outlier_split.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

/// Elements under the threshold.
template <class T>
struct BelowThreshold {
  cpu::Magnitude<T> limit;
  bool operator()(cpu::Magnitude<T> m, std::int64_t) const { return m < limit; }
};

/// Columns without an outlier.
struct UnlistedColumns {
  const s8* listed;
  template <class M>
  bool operator()(M, std::int64_t j) const {
    return listed[j] == 0;
  }
};

/// Writes the elements of x that are not kept, in order, and their count.
template <class T, class Kept>
void list_rest(Matrix<const T> x, const Kept& kept, const CooList<T>& list,
               std::int64_t* row_first) {
  const auto for_each_row = [&](const auto& body) {
    cpu::parallel_for(x.rows, cpu::rows_per_piece(x.cols),
                      [&](std::int64_t begin, std::int64_t end) {
                        for (std::int64_t i = begin; i < end; ++i) body(i);
                      });
  };
  for_each_row([&](std::int64_t i) {
    std::int64_t count = 0;
    for (std::int64_t j = 0; j < x.cols; ++j) count += !kept(cpu::magnitude(x(i, j)), j);
    row_first[i] = count;
  });
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) total += std::exchange(row_first[i], total);
  *list.count = total;
  if (total > list.capacity) return;
  for_each_row([&](std::int64_t i) {
    std::int64_t n = row_first[i];
    for (std::int64_t j = 0; j < x.cols; ++j) {
      if (kept(cpu::magnitude(x(i, j)), j)) continue;
      list.row[n] = static_cast<s32>(i);
      list.col[n] = static_cast<s32>(j);
      list.value[n++] = x(i, j);
    }
  });
}

template <class T, class Kept>
void quantize_kept(Matrix<const T> x, const Kept& kept, Matrix<s8> q_row, Vector<float> row_scale,
                   Matrix<s8> q_col, Vector<float> col_scale, const CooList<T>& outliers,
                   std::int64_t* row_counts) {
  cpu::quantize_rows(x, q_row, row_scale, kept);
  cpu::quantize_columns(x, q_col, col_scale, kept);
  list_rest(x, kept, outliers, row_counts);
}

}  // namespace

template <class T>
void quantize_row_col(Cpu, Matrix<const T> x, float threshold, OutlierMode mode, Matrix<s8> q_row,
                      Vector<float> row_scale, Matrix<s8> q_col, Vector<float> col_scale,
                      CooList<T> outliers, Vector<std::byte> workspace) {
  preconditions::quantize_row_col(x, threshold, q_row, row_scale, q_col, col_scale, outliers,
                                  workspace);
  if (x.empty()) {
    *outliers.count = 0;
    return;
  }
  const OutlierWorkspace parts(x.rows, x.cols);
  auto* row_counts = reinterpret_cast<std::int64_t*>(workspace.data + parts.row_counts);
  const auto limit = static_cast<cpu::Magnitude<T>>(outlier_bits<T>(threshold));
  if (mode == OutlierMode::element) {
    quantize_kept(x, BelowThreshold<T>{limit}, q_row, row_scale, q_col, col_scale, outliers,
                  row_counts);
    return;
  }
  auto* listed = reinterpret_cast<s8*>(workspace.data + parts.columns);
  cpu::for_each_strip(x.cols, [&](std::int64_t begin, std::int64_t end) {
    const auto largest = cpu::strip_absmax(x, begin, end - begin, cpu::KeepAll{});
    for (std::int64_t j = begin; j < end; ++j) listed[j] = largest[j - begin] >= limit;
  });
  quantize_kept(x, UnlistedColumns{listed}, q_row, row_scale, q_col, col_scale, outliers,
                row_counts);
}

template <class T>
void coo_to_csr(Cpu, const CooList<T>& coo, Vector<std::int64_t> row_offsets) {
  preconditions::coo_to_csr(coo, row_offsets);
  const std::int64_t count = *coo.count;
  if (count > coo.capacity) {
    std::fill_n(row_offsets.data, row_offsets.length, std::int64_t{-1});
    return;
  }
  std::int64_t n = 0;
  for (std::int64_t i = 0; i < row_offsets.length; ++i) {
    while (n < count && coo.row[n] < i) ++n;
    row_offsets(i) = n;
  }
}

std::int64_t sort_by_column_workspace_bytes(Cpu, std::int64_t capacity) {
  return capacity * static_cast<std::int64_t>(sizeof(std::int64_t));
}

template <class T>
void sort_by_column(Cpu, const CooList<T>& by_row, const CooList<T>& by_column,
                    Vector<std::byte> workspace) {
  preconditions::sort_by_column(by_row, by_column, workspace,
                                sort_by_column_workspace_bytes(Cpu{}, by_row.capacity));
  const std::int64_t count = *by_row.count;
  *by_column.count = count;
  if (count > by_row.capacity) return;
  auto* order = reinterpret_cast<std::int64_t*>(workspace.data);
  for (std::int64_t n = 0; n < count; ++n) order[n] = n;
  // The place in the list by row breaks ties: within a column its rows ascend.
  std::sort(order, order + count, [&](std::int64_t a, std::int64_t b) {
    return by_row.col[a] != by_row.col[b] ? by_row.col[a] < by_row.col[b] : a < b;
  });
  for (std::int64_t n = 0; n < count; ++n) {
    by_column.row[n] = by_row.row[order[n]];
    by_column.col[n] = by_row.col[order[n]];
    by_column.value[n] = by_row.value[order[n]];
  }
}

template <class T, class L>
void extract_outliers(Cpu, Matrix<const T, L> w, Vector<const s32> columns, Matrix<T> out) {
  preconditions::extract_outliers(w, columns, out);
  if (out.empty()) return;
  cpu::parallel_for(out.rows, cpu::rows_per_piece(out.cols),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        for (std::int64_t j = 0; j < out.cols; ++j) {
                          const s32 col = columns(j);
                          out(i, j) = col >= 0 && col < w.cols ? w(i, col) : T{};
                        }
                      }
                    });
}

template void quantize_row_col(Cpu, Matrix<const f16>, float, OutlierMode, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>, CooList<f16>,
                               Vector<std::byte>);
template void quantize_row_col(Cpu, Matrix<const bf16>, float, OutlierMode, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>, CooList<bf16>,
                               Vector<std::byte>);
template void quantize_row_col(Cpu, Matrix<const f32>, float, OutlierMode, Matrix<s8>,
                               Vector<float>, Matrix<s8>, Vector<float>, CooList<f32>,
                               Vector<std::byte>);
template void coo_to_csr(Cpu, const CooList<f16>&, Vector<std::int64_t>);
template void coo_to_csr(Cpu, const CooList<bf16>&, Vector<std::int64_t>);
template void coo_to_csr(Cpu, const CooList<f32>&, Vector<std::int64_t>);
template void sort_by_column(Cpu, const CooList<f16>&, const CooList<f16>&, Vector<std::byte>);
template void sort_by_column(Cpu, const CooList<bf16>&, const CooList<bf16>&, Vector<std::byte>);
template void sort_by_column(Cpu, const CooList<f32>&, const CooList<f32>&, Vector<std::byte>);
template void extract_outliers(Cpu, Matrix<const s8>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cpu, Matrix<const s8, ColMajor>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cpu, Matrix<const s8, Col32>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cpu, Matrix<const s8, Col4_4R2_8C>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cpu, Matrix<const s8, Col32_2R_4R4>, Vector<const s32>, Matrix<s8>);
template void extract_outliers(Cpu, Matrix<const f16>, Vector<const s32>, Matrix<f16>);
template void extract_outliers(Cpu, Matrix<const bf16>, Vector<const s32>, Matrix<bf16>);

}  // namespace octet
