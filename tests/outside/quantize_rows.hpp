// quantize_rows: octet's quantize_rowwise (octet/quantize.hpp) for f16, by kernels of this project.
#pragma once

#include "octet/backend.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace outside {

void quantize_rows(octet::Cpu, octet::Matrix<const octet::f16> x, octet::Matrix<octet::s8> q,
                   octet::Vector<float> row_scale);
void quantize_rows(octet::Cuda, octet::Matrix<const octet::f16> x, octet::Matrix<octet::s8> q,
                   octet::Vector<float> row_scale);

}  // namespace outside
