// Choices of algorithms, kept between processes: OCTET_PLANS=FILE.
//
// A tuner that decides otherwise in the second of two runs looks like a change of the kernels. With
// a file, the first plan of a problem on a device appends its choice, and every later one takes it.
#pragma once

#include <istream>
#include <map>
#include <string>

#include "harness/environment.hpp"
#include "octet/gemm.hpp"

namespace octet::harness {

/// Choices of a device and library in a file's text: the first for each problem. A line that is no
/// choice is passed over: a killed process may have left it.
std::map<std::string, std::string> choices_in(std::istream& text, const std::string& device,
                                              const std::string& library);
/// Those of OCTET_PLANS; empty without one.
std::map<std::string, std::string> pinned_choices(const std::string& device,
                                                  const std::string& library);
/// Appends a choice, one line with one write, unless the file has one for its problem.
void keep_choice(const std::string& device, const std::string& library, const std::string& problem,
                 const std::string& choice);

template <class B>
std::string library_of(B backend) {
  if constexpr (std::is_same_v<B, Cuda>) {
    return cublaslt_version(backend);
  } else {
    return "";
  }
}

/// A workspace whose plans take what the file has for them.
template <class B>
GemmWorkspace<B> make_pinned_workspace(B backend) {
  GemmWorkspace<B> workspace = make_gemm_workspace(backend);
  workspace.pinned = pinned_choices(device_info(backend).name, library_of(backend));
  return workspace;
}

/// That of a plan of any operator.
template <class B, class Plan>
void keep_choice(B backend, const Plan& plan) {
  if (plan.choice.empty()) return;
  keep_choice(device_info(backend).name, library_of(backend), to_text(plan.problem), plan.choice);
}

}  // namespace octet::harness
