#include "harness/process_watch.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace octet::harness {

ProcessWatch::ProcessWatch(std::function<std::optional<ProcessIds>()> list, unsigned own_id)
    : list_(std::move(list)), own_id_(own_id), before_(list_().value_or(ProcessIds{})) {}

std::optional<ProcessIds> ProcessWatch::others() {
  std::optional<ProcessIds> now = list_();
  if (!now) return std::nullopt;
  std::ranges::sort(*now);
  if (!std::exchange(asked_, true) && !std::ranges::binary_search(*now, own_id_)) {
    ProcessIds fresh;
    std::ranges::copy_if(*now, std::back_inserter(fresh),
                         [&](unsigned id) { return std::ranges::count(before_, id) == 0; });
    // Of several none can be told to be this process: one too many is named then, none too few.
    if (fresh.size() == 1) own_id_ = fresh.front();
  }
  std::erase(*now, own_id_);
  return now;
}

}  // namespace octet::harness
