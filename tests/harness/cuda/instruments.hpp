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

/// Queues the lanes of every chunk's hash (harness/hash.hpp): lane i of chunk c becomes
/// lanes[kLanes * c + i]. `data` is device memory aligned to 8, `lanes` of kLanes for each chunk.
void queue_hash_lanes(CUstream_st* stream, const void* data, std::int64_t bytes,
                      std::uint64_t* lanes);

/// Queues the search for the first byte that is not `value`: *first, which must hold the largest
/// number before, becomes its index.
void queue_find_other_byte(CUstream_st* stream, const void* data, unsigned char value,
                           std::int64_t bytes, unsigned long long* first);

/// Holds the stream for about `us` microseconds, so that what is queued behind it starts without
/// launch gaps. Ends by itself.
void queue_hold(CUstream_st* stream, double us);

}  // namespace octet::harness
