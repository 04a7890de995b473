// Owning memory on a backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "octet/backend.hpp"
#include "octet/matrix.hpp"

namespace octet {

/// `size` elements of T on the backend's device, uninitialized, aligned to 256 bytes, freed with
/// the buffer. Movable, not copyable.
template <class B, class T>
class Buffer {
 public:
  /// Empty, or of a size; allocate() says what a failure throws. What is moved from is empty, or
  /// holds what the other had.
  Buffer() = default;
  Buffer(B backend, std::int64_t size)
      : backend_(backend),
        data_(static_cast<T*>(allocate(backend, static_cast<std::size_t>(size) * sizeof(T)))),
        size_(size) {}
  ~Buffer() { deallocate(backend_, data_); }
  Buffer(Buffer&& other) noexcept
      : backend_(other.backend_),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  /// Device memory, elements and their bytes.
  T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  std::int64_t bytes() const { return size_ * static_cast<std::int64_t>(sizeof(T)); }

 private:
  B backend_{};
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace octet
