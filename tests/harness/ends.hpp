// How a test process ends before its last case, so that what runs it can go on with the next one.
#pragma once

#include <string>

namespace octet::harness {

/// The device was lost: the case that lost it has its record, later ones were not begun.
inline constexpr int kDeviceLostExit = 70;
/// The watchdog ended a case that took too long; it has its record, later ones were not begun.
inline constexpr int kWatchdogExit = 71;

/// Ends the process at once with `status`, `sentence` on stderr. Nothing is destroyed: a destructor
/// could wait for a device that no longer answers.
[[noreturn]] void end_process(int status, const std::string& sentence);

}  // namespace octet::harness
