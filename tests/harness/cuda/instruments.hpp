// The small device pieces that measuring needs.
#pragma once

#include <cstdint>

struct CUstream_st;

namespace octet::harness {

/// One reading of a multiprocessor's clock beside the time: two of them give its frequency.
struct ClockStamp {
  std::uint64_t cycles = 0;       // clock64 of SM 0
  std::uint64_t nanoseconds = 0;  // globaltimer
  unsigned taken = 0;             // whether a block has written it
};

/// Queues a reading; `stamp` is device memory, zeroed before. Enough blocks are launched that one
/// runs on SM 0.
void queue_clock_stamp(CUstream_st* stream, ClockStamp* stamp, int multiprocessors);

/// Holds the stream for about `us` microseconds, so that what is queued behind it starts without
/// launch gaps. Ends by itself.
void queue_hold(CUstream_st* stream, double us);

}  // namespace octet::harness
