// Who else computes on a device: a figure taken beside another process is marked as such.
//
// A device's list names this process too, in a container by a number that getpid() does not know.
// So the list is read once before this process works on the device, and what is new in the first
// list after that is this process.
#pragma once

#include <functional>
#include <optional>
#include <vector>

namespace octet::harness {

using ProcessIds = std::vector<unsigned>;

class ProcessWatch {
 public:
  /// `list` reads the device's processes, empty where nothing tells. To be made before this
  /// process, `own_id`, works on the device.
  ProcessWatch(std::function<std::optional<ProcessIds>()> list, unsigned own_id);

  /// The others that compute on the device now, ascending; empty where nothing tells. First to be
  /// called once this process works on the device.
  std::optional<ProcessIds> others();

 private:
  std::function<std::optional<ProcessIds>()> list_;
  unsigned own_id_;
  ProcessIds before_;
  bool asked_ = false;
};

}  // namespace octet::harness
