// Loops over ranges on the host's threads.
//
// `parallel_for(count, grain, body)` calls body(begin, end) on pieces of at most `grain` that
// together cover [0, count) once, and returns when all are done. The caller works too. Pieces are
// handed out as threads get free, so which thread runs one is not determined.
//   - the threads start with the first loop that needs them, and are joined at exit
//   - as many as this process may run on (its affinity), or OCTET_CPU_THREADS; the BLAS keeps
//     threads of its own (OPENBLAS_NUM_THREADS)
//   - an exception from the body reaches the caller; pieces that have not begun are left out
//   - a loop inside a body, beside another caller's loop, or in a forked child runs inline
#pragma once

#include <cstdint>
#include <memory>

namespace octet::cpu {

/// Processors that this process may run on.
int hardware_threads() noexcept;

/// Threads that share a loop: OCTET_CPU_THREADS, or hardware_threads(). Throws
/// std::invalid_argument when the variable is no number from 1 to 4096.
int thread_count();

/// A body without its type.
struct LoopBody {
  void (*call)(const void* context, std::int64_t begin, std::int64_t end);
  const void* context;
};
void run_loop(std::int64_t count, std::int64_t grain, LoopBody body);

template <class F>
void parallel_for(std::int64_t count, std::int64_t grain, const F& body) {
  if (count <= 0) return;
  if (count <= grain) {
    body(std::int64_t{0}, count);
    return;
  }
  const auto call = [](const void* context, std::int64_t begin, std::int64_t end) {
    (*static_cast<const F*>(context))(begin, end);
  };
  run_loop(count, grain, {call, std::addressof(body)});
}

/// A grain of rows that makes a piece worth a thread's while.
constexpr std::int64_t rows_per_piece(std::int64_t cols) {
  constexpr std::int64_t kElementsPerPiece = 32768;
  return cols >= kElementsPerPiece ? 1 : kElementsPerPiece / (cols < 1 ? 1 : cols);
}

}  // namespace octet::cpu
