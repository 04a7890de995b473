// From one layout to another, and from strided tensors to packed matrices.
//
// Errors: std::invalid_argument that names the operator, the value and what would be right, for
// extents that differ, null data, a leading dimension under what the layout needs, or an output
// that overlaps the input. No rows or no columns: nothing is done.
#pragma once

#include "octet/backend.hpp"
#include "octet/layout.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"

namespace octet {

/// y(i,j) = x(i,j) for every (i,j) of x[R,C] and y[R,C]; the padding of a tiled y becomes zero, the
/// gaps of a padded leading dimension are left alone. To transpose, give one side as a ColMajor
/// view: transform(backend, transposed(x), y) lays the transpose of x out as y asks.
///
/// s8: from RowMajor or ColMajor to any layout, and from any layout to RowMajor or ColMajor.
/// s32: the same with Col32, RowMajor and ColMajor alone.
/// Source: cublasLtMatrixTransform (cublasLt.h).
template <class T, class From, class To>
void transform(Cpu, Matrix<const T, From> x, Matrix<T, To> y);
template <class T, class From, class To>
void transform(Cuda, Matrix<const T, From> x, Matrix<T, To> y);

/// A tensor [batch, seq, model] with padded strides, as a view into a larger one has them, made
/// contiguous: y[batch * seq, model], rows in the order of x. T is f16, bf16 or f32.
template <class T>
void flatten(Cpu, Batch<const T> x, Matrix<T> y);
template <class T>
void flatten(Cuda, Batch<const T> x, Matrix<T> y);

}  // namespace octet
