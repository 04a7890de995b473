// Memory of the host for what is as large as a device's tensors.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace octet::harness {

/// `count` elements without a value. Large ones lie in huge pages where the system has them to
/// give: to touch small pages first takes longer than what they are then used for. Throws
/// std::bad_alloc.
template <class T>
std::shared_ptr<T[]> host_array(std::int64_t count) {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
  constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
  const auto elements = static_cast<std::size_t>(count);
  const std::size_t bytes =
      (elements * sizeof(T) + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  if (bytes <= kHugePageBytes) return std::make_shared_for_overwrite<T[]>(elements);
  void* const data = std::aligned_alloc(kHugePageBytes, bytes);
  if (data == nullptr) throw std::bad_alloc();
  madvise(data, bytes, MADV_HUGEPAGE);  // advice: nothing is lost without it
  return {static_cast<T*>(data), [](T* memory) { std::free(memory); }};
}

}  // namespace octet::harness
