// Which of several ways to do the same work takes the least time.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace octet::cuda {

/// Queues the work once; false when it is refused.
using Candidate = std::function<bool()>;

/// The median microseconds of each candidate on the stream, timed in interleaved rounds; infinity
/// for one that is refused. Each runs often enough for a clock's resolution not to matter.
std::vector<float> time_candidates(cudaStream_t stream, const std::vector<Candidate>& candidates);

struct Verdict {
  std::size_t best;
  std::string remark;  // "best of 5, next mma in 1.07 times its time"
};
/// Times candidates by their names; of one alone it says so without timing it. Throws
/// std::runtime_error when all are refused.
Verdict judge(cudaStream_t stream, const std::vector<Candidate>& candidates,
              const std::vector<std::string>& names);

}  // namespace octet::cuda
