// Layouts and strided tensors on the host; the contract is octet/transform.hpp.
//
// Blocks of 64 x 64 elements, which the caches hold also where one side is read or written across
// its lines, are shared among the threads. An element costs one read and one write.
#include "octet/transform.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cpu/parallel.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kBlocksOfPiece = 8;

std::int64_t blocks(std::int64_t length) { return (length + kBlock - 1) / kBlock; }

struct Extent {
  std::int64_t rows, cols;
};

/// What is written: of a tiled layout also the padding.
template <class T, class L>
Extent written(const Matrix<T, L>& y) {
  if constexpr (std::is_same_v<L, RowMajor> || std::is_same_v<L, ColMajor>) {
    return {y.rows, y.cols};
  } else if constexpr (std::is_same_v<L, Col32>) {
    return {y.layout.rows, (y.cols + 31) / 32 * 32};
  } else {
    return {y.layout.padded_rows, (y.cols + 31) / 32 * 32};
  }
}

}  // namespace

template <class T, class From, class To>
void transform(Cpu, Matrix<const T, From> x, Matrix<T, To> y) {
  preconditions::transform(x, y);
  if (x.empty()) return;
  const Extent whole = written(y);
  const std::int64_t across = blocks(whole.cols);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t i0 = block / across * kBlock, i1 = std::min(i0 + kBlock, whole.rows);
      const std::int64_t j0 = block % across * kBlock, j1 = std::min(j0 + kBlock, whole.cols);
      for (std::int64_t i = i0; i < i1; ++i) {
        const std::int64_t inside = i < x.rows ? std::clamp(x.cols, j0, j1) : j0;
        for (std::int64_t j = j0; j < inside; ++j) y(i, j) = x(i, j);
        for (std::int64_t j = inside; j < j1; ++j) y(i, j) = T{0};
      }
    }
  };
  cpu::parallel_for(blocks(whole.rows) * across, kBlocksOfPiece, body);
}

template <class T>
void flatten(Cpu, Batch<const T> x, Matrix<T> y) {
  preconditions::flatten(x.first, x.count, x.stride, y);
  if (y.empty()) return;
  const std::int64_t seq = x.first.rows;
  cpu::parallel_for(y.rows, cpu::rows_per_piece(y.cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::memcpy(&y(i, 0), &x[i / seq](i % seq, 0), static_cast<std::size_t>(y.cols) * sizeof(T));
    }
  });
}

template void transform(Cpu, Matrix<const s8, RowMajor>, Matrix<s8, RowMajor>);
template void transform(Cpu, Matrix<const s8, RowMajor>, Matrix<s8, ColMajor>);
template void transform(Cpu, Matrix<const s8, RowMajor>, Matrix<s8, Col32>);
template void transform(Cpu, Matrix<const s8, RowMajor>, Matrix<s8, Col4_4R2_8C>);
template void transform(Cpu, Matrix<const s8, RowMajor>, Matrix<s8, Col32_2R_4R4>);
template void transform(Cpu, Matrix<const s8, ColMajor>, Matrix<s8, RowMajor>);
template void transform(Cpu, Matrix<const s8, ColMajor>, Matrix<s8, ColMajor>);
template void transform(Cpu, Matrix<const s8, ColMajor>, Matrix<s8, Col32>);
template void transform(Cpu, Matrix<const s8, ColMajor>, Matrix<s8, Col4_4R2_8C>);
template void transform(Cpu, Matrix<const s8, ColMajor>, Matrix<s8, Col32_2R_4R4>);
template void transform(Cpu, Matrix<const s8, Col32>, Matrix<s8, RowMajor>);
template void transform(Cpu, Matrix<const s8, Col32>, Matrix<s8, ColMajor>);
template void transform(Cpu, Matrix<const s8, Col4_4R2_8C>, Matrix<s8, RowMajor>);
template void transform(Cpu, Matrix<const s8, Col4_4R2_8C>, Matrix<s8, ColMajor>);
template void transform(Cpu, Matrix<const s8, Col32_2R_4R4>, Matrix<s8, RowMajor>);
template void transform(Cpu, Matrix<const s8, Col32_2R_4R4>, Matrix<s8, ColMajor>);
template void transform(Cpu, Matrix<const s32, RowMajor>, Matrix<s32, RowMajor>);
template void transform(Cpu, Matrix<const s32, RowMajor>, Matrix<s32, ColMajor>);
template void transform(Cpu, Matrix<const s32, RowMajor>, Matrix<s32, Col32>);
template void transform(Cpu, Matrix<const s32, ColMajor>, Matrix<s32, RowMajor>);
template void transform(Cpu, Matrix<const s32, ColMajor>, Matrix<s32, ColMajor>);
template void transform(Cpu, Matrix<const s32, ColMajor>, Matrix<s32, Col32>);
template void transform(Cpu, Matrix<const s32, Col32>, Matrix<s32, RowMajor>);
template void transform(Cpu, Matrix<const s32, Col32>, Matrix<s32, ColMajor>);
template void flatten(Cpu, Batch<const f16>, Matrix<f16>);
template void flatten(Cpu, Batch<const bf16>, Matrix<bf16>);
template void flatten(Cpu, Batch<const f32>, Matrix<f32>);

}  // namespace octet
