#include "harness/line_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

namespace octet::harness {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::string& path)
      : path_(path),
        descriptor_(open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {
    // A file that may be written and not read is appended to all the same.
    if (descriptor_ < 0 && errno == EACCES) {
      descriptor_ = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    }
    if (descriptor_ < 0) fail(errno);
  }
  ~Descriptor() { close(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void append(const std::string& text) const {
    // Over a limit on a file's size a write fails with EFBIG, once the signal is not to kill.
    std::signal(SIGXFSZ, SIG_IGN);
    // So that what a failed write leaves is cut off, and nothing else. A file system without locks
    // loses no more than that.
    flock(descriptor_, LOCK_EX);
    struct stat before {};
    const bool is_file = fstat(descriptor_, &before) == 0 && S_ISREG(before.st_mode);
    // What a killed process or a full disk left of an earlier line must not spoil this one.
    char last = '\n';
    const bool is_torn = is_file && before.st_size > 0 &&
                         pread(descriptor_, &last, 1, before.st_size - 1) == 1 && last != '\n';
    const std::string whole = is_torn ? "\n" + text : text;
    ssize_t written = 0;
    do {
      written = write(descriptor_, whole.data(), whole.size());
    } while (written < 0 && errno == EINTR);
    if (written == static_cast<ssize_t>(whole.size())) return;
    const int error = written < 0 ? errno : ENOSPC;  // what a short write to a file means
    if (written > 0 && is_file && ftruncate(descriptor_, before.st_size) != 0) fail(errno);
    fail(error);
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
