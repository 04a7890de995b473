// The parts of a training step: one call of an operator each, as views, so that whoever runs a step
// can also time, check or replay each part on the very same buffers.
//
// run_stage queues the call on the backend's stream. plan_stage makes the plan that a stage needs
// and does not have yet, which overwrites the stage's result; run_stage calls it first.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>
#include <variant>

#include "octet/column_sum.hpp"
#include "octet/dequantize.hpp"
#include "octet/gemm.hpp"
#include "octet/layer.hpp"
#include "octet/matrix.hpp"
#include "octet/numeric.hpp"
#include "octet/outliers.hpp"
#include "octet/quantize.hpp"
#include "octet/scaled_gemm.hpp"
#include "octet/transform.hpp"

namespace octet {

template <class T>
struct QuantizeStage {
  Matrix<const T> x;
  Matrix<s8> q_row;
  Vector<float> row_scale;
  Matrix<s8> q_col;  // no data: the row copy alone is wanted
  Vector<float> col_scale;
};

/// Quantization of what a threshold leaves.
template <class T>
struct DecomposeStage {
  Matrix<const T> x;
  float threshold;
  OutlierMode mode;
  Matrix<s8> q_row;
  Vector<float> row_scale;
  Matrix<s8> q_col;
  Vector<float> col_scale;
  CooList<T> outliers;
  Vector<std::byte> workspace;
};

template <class L>
struct TransformStage {
  Matrix<const s8> x;
  Matrix<s8, L> y;
};

/// A product whose second operand is in a tiled order.
template <class B, class L>
struct GemmS8Stage {
  Matrix<const s8, Col32> a;
  Matrix<const s8, L> b;
  Matrix<s32, Col32> acc;
  std::optional<GemmPlan<B>> plan;
};

/// An int8 product and what makes its result of it, in one call: row-major operands.
template <class B, class T>
struct ScaledGemmStage {
  Matrix<const s8> a, b;
  Vector<const float> row_scale, col_scale;
  Vector<const T> bias;
  Matrix<T> out;
  std::optional<ScaledGemmPlan<B>> plan;
};

/// A product's int8 part, and with a bias that too.
template <class T, class L>
struct DequantizeStage {
  Matrix<const s32, L> acc;
  Vector<const float> row_scale, col_scale;
  Vector<const T> bias;
  Matrix<T> out;
};

template <class B, class T>
struct GemmStage {
  Operand<T> a, b;
  Vector<const T> bias;
  Matrix<T> out;
  std::optional<GemmPlan<B>> plan;
};

/// out += outliers . w^T
template <class T>
struct SpmmStage {
  CooList<T> outliers;
  Operand<T> w;
  Matrix<T> out;
};

template <class T>
struct SortStage {
  CooList<T> by_row, by_column;
  Vector<std::byte> workspace;
};

/// out += x^T . outliers
template <class T>
struct SpmmTransposedStage {
  Matrix<const T> x;
  CooList<T> outliers;  // by column
  Matrix<T> out;
};

/// The gradient of a bias.
template <class T>
struct ColumnSumStage {
  Matrix<const T> x;
  Vector<T> sum;
};

template <class B, class T>
struct Stage {
  std::string_view tensor;  // what is quantized ("a", "w1", ...); empty for the other operators
  Product product;          // the product that it belongs to, the first one that needs it
  bool weights = false;     // left out when quantized weights are kept
  std::variant<QuantizeStage<T>, DecomposeStage<T>, TransformStage<Col32>,
               TransformStage<Col4_4R2_8C>, TransformStage<Col32_2R_4R4>,
               GemmS8Stage<B, Col4_4R2_8C>, GemmS8Stage<B, Col32_2R_4R4>, ScaledGemmStage<B, T>,
               DequantizeStage<T, Col32>, GemmStage<B, T>, SpmmStage<T>, SortStage<T>,
               SpmmTransposedStage<T>, ColumnSumStage<T>>
      work;
};

// ---- plans ----

template <class B, class Work>
void plan_stage(GemmWorkspace<B>&, Work&) {}

template <class B, class L>
void plan_stage(GemmWorkspace<B>& workspace, GemmS8Stage<B, L>& s) {
  if (!s.plan) s.plan = plan_gemm_s8(workspace, s.a, s.b, s.acc);
}

template <class B, class T>
void plan_stage(GemmWorkspace<B>& workspace, ScaledGemmStage<B, T>& s) {
  if (!s.plan) {
    s.plan = plan_scaled_gemm<T>(workspace, s.a, s.b, s.row_scale, s.col_scale, s.bias, s.out);
  }
}

template <class B, class T>
void plan_stage(GemmWorkspace<B>& workspace, GemmStage<B, T>& s) {
  if (!s.plan) s.plan = plan_gemm<T>(workspace, s.a, s.b, s.out, s.bias);
}

// ---- calls ----

template <class B, class T>
void run_stage(B backend, GemmWorkspace<B>&, QuantizeStage<T>& s) {
  if (s.q_col.data == nullptr) {
    quantize_rowwise<T>(backend, s.x, s.q_row, s.row_scale);
  } else {
    quantize_row_col<T>(backend, s.x, s.q_row, s.row_scale, s.q_col, s.col_scale);
  }
}

template <class B, class T>
void run_stage(B backend, GemmWorkspace<B>&, DecomposeStage<T>& s) {
  quantize_row_col<T>(backend, s.x, s.threshold, s.mode, s.q_row, s.row_scale, s.q_col, s.col_scale,
                      s.outliers, s.workspace);
}

template <class B, class L>
void run_stage(B backend, GemmWorkspace<B>&, TransformStage<L>& s) {
  transform(backend, s.x, s.y);
}

template <class B, class L>
void run_stage(B backend, GemmWorkspace<B>& workspace, GemmS8Stage<B, L>& s) {
  plan_stage(workspace, s);
  gemm_s8(backend, *s.plan, s.a, s.b, s.acc);
}

template <class B, class T>
void run_stage(B backend, GemmWorkspace<B>& workspace, ScaledGemmStage<B, T>& s) {
  plan_stage(workspace, s);
  scaled_gemm<T>(backend, *s.plan, s.a, s.b, s.row_scale, s.col_scale, s.bias, s.out);
}

template <class B, class T, class L>
void run_stage(B backend, GemmWorkspace<B>&, DequantizeStage<T, L>& s) {
  dequantize<T>(backend, s.acc, s.row_scale, s.col_scale, s.bias, s.out);
}

template <class B, class T>
void run_stage(B backend, GemmWorkspace<B>& workspace, GemmStage<B, T>& s) {
  plan_stage(workspace, s);
  gemm<T>(backend, *s.plan, s.a, s.b, s.out, s.bias);
}

template <class B, class T>
void run_stage(B backend, GemmWorkspace<B>&, SpmmStage<T>& s) {
  spmm_coo<T>(backend, s.outliers, s.w, s.out);
}

template <class B, class T>
void run_stage(B backend, GemmWorkspace<B>&, SortStage<T>& s) {
  sort_by_column<T>(backend, s.by_row, s.by_column, s.workspace);
}

template <class B, class T>
void run_stage(B backend, GemmWorkspace<B>&, SpmmTransposedStage<T>& s) {
  spmm_coo_transposed<T>(backend, s.x, s.outliers, s.out);
}

template <class B, class T>
void run_stage(B backend, GemmWorkspace<B>&, ColumnSumStage<T>& s) {
  column_sum<T>(backend, s.x, s.sum);
}

}  // namespace octet
