#include "harness/line_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace octet::harness {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::string& path)
      : path_(path),
        descriptor_(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) fail(errno);
  }
  ~Descriptor() { close(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void append(const std::string& text) const {
    const ssize_t written = write(descriptor_, text.data(), text.size());
    if (written < 0) fail(errno);
    // What a short write to a file means.
    if (written != static_cast<ssize_t>(text.size())) fail(ENOSPC);
  }

 private:
  [[noreturn]] void fail(int error) const {
    throw std::runtime_error(
        fmt::format("records: {} cannot be written: {}", path_, std::strerror(error)));
  }

  std::string path_;
  int descriptor_;
};

}  // namespace

void append_line(const std::string& path, const std::string& line) {
  Descriptor(path).append(line + "\n");
}

void require_appendable(const std::string& path) { const Descriptor opened(path); }

}  // namespace octet::harness
