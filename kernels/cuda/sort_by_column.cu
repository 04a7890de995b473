// sort_by_column: CUB's radix sort, which is stable, of a list by its columns; entries by row keep
// the order of their rows.
//
// The host does not know how many entries there are, so `capacity` are sorted: what lies beyond the
// count gets a key above every column. A key is 4 bytes, what it moves is the entry's place in the
// list by row. Passes: one for each 8 bits that cols has.
//   keys_kernel     a thread makes the key of a place
//   gather_kernel   a thread moves an entry
// Workspace: keys and places twice, and CUB's own.
// Bytes: about 16 an entry of the capacity for each pass.
#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>
#include <utility>

#include "cuda/error.hpp"
#include "octet/outliers.hpp"
#include "preconditions/preconditions.hpp"

namespace octet {
namespace {

using cuda::check;
using std::int64_t;
using Key = std::uint32_t;

constexpr int kThreads = 256;
constexpr int kKeyBits = 32;

int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

dim3 blocks_for(int64_t count) {
  return dim3(static_cast<unsigned>((std::max<int64_t>(count, 1) + kThreads - 1) / kThreads));
}

__global__ void __launch_bounds__(kThreads)
    keys_kernel(const s32* cols, const int64_t* count, int64_t capacity, Key after_last, Key* keys,
                int64_t* places) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (n >= capacity) return;
  keys[n] = n < *count ? static_cast<Key>(cols[n]) : after_last;
  places[n] = n;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const CooList<T> by_row, const CooList<T> by_column, const int64_t* places) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t count = *by_row.count;
  if (n == 0) *by_column.count = count;
  if (count > by_row.capacity || n >= count) return;
  const int64_t place = places[n];
  by_column.row[n] = by_row.row[place];
  by_column.col[n] = by_row.col[place];
  by_column.value[n] = by_row.value[place];
}

/// CUB's workspace is the same for fewer bits, or smaller.
std::size_t cub_bytes(int64_t capacity) {
  if (capacity == 0) return 0;
  std::size_t bytes = 0;
  cub::DoubleBuffer<Key> keys;
  cub::DoubleBuffer<int64_t> places;
  check(cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, places, capacity, 0, kKeyBits),
        "asking for the workspace of sort_by_column");
  return bytes;
}

}  // namespace

int64_t sort_by_column_workspace_bytes(Cuda, int64_t capacity) {
  return 2 * aligned(capacity * static_cast<int64_t>(sizeof(Key))) +
         2 * aligned(capacity * static_cast<int64_t>(sizeof(int64_t))) +
         aligned(static_cast<int64_t>(cub_bytes(capacity)));
}

template <class T>
void sort_by_column(Cuda backend, const CooList<T>& by_row, const CooList<T>& by_column,
                    Vector<std::byte> workspace) {
  const int64_t capacity = by_row.capacity;
  // A list that cannot be is refused before CUB is asked about it.
  preconditions::sort_by_column(by_row, by_column, workspace, 0);
  std::size_t bytes = cub_bytes(capacity);
  preconditions::sort_by_column(by_row, by_column, workspace,
                                sort_by_column_workspace_bytes(backend, capacity));
  const cudaStream_t stream = backend.stream;
  std::byte* memory = workspace.data;
  const auto take = [&](int64_t size) { return std::exchange(memory, memory + aligned(size)); };
  Key* keys[2];
  int64_t* places[2];
  for (Key*& k : keys) k = reinterpret_cast<Key*>(take(capacity * int64_t{sizeof(Key)}));
  for (int64_t*& p : places) p = reinterpret_cast<int64_t*>(take(capacity * int64_t{8}));

  cub::DoubleBuffer<Key> sorted_keys(keys[0], keys[1]);
  cub::DoubleBuffer<int64_t> sorted_places(places[0], places[1]);
  if (capacity > 0) {
    const auto after_last = static_cast<Key>(by_row.cols);
    keys_kernel<<<blocks_for(capacity), kThreads, 0, stream>>>(by_row.col, by_row.count, capacity,
                                                               after_last, keys[0], places[0]);
    check(cudaGetLastError(), "launching sort_by_column's keys");
    check(cub::DeviceRadixSort::SortPairs(memory, bytes, sorted_keys, sorted_places, capacity, 0,
                                          std::bit_width(after_last), stream),
          "launching sort_by_column's sort");
  }
  gather_kernel<T>
      <<<blocks_for(capacity), kThreads, 0, stream>>>(by_row, by_column, sorted_places.Current());
  check(cudaGetLastError(), "launching sort_by_column's gathering");
}

template void sort_by_column(Cuda, const CooList<f16>&, const CooList<f16>&, Vector<std::byte>);
template void sort_by_column(Cuda, const CooList<bf16>&, const CooList<bf16>&, Vector<std::byte>);
template void sort_by_column(Cuda, const CooList<f32>&, const CooList<f32>&, Vector<std::byte>);

}  // namespace octet
