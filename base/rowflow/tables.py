"""Which rule goes for which operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modeldyno.base.rowflow import elementwise, indexing, layout, makers, products, reductions, windows
from modeldyno.base.rowflow.values import Call, Value

Rule = Callable[[Call], list[Value]]

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(elementwise.UNARY, elementwise.unary),
    **dict.fromkeys(elementwise.NARY, elementwise.nary),
    **dict.fromkeys(reductions.REDUCTIONS, reductions.reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), reductions.arg_extreme),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), reductions.softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), reductions.norm_from),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), reductions.norm_of_samples),
    "BatchNormalization": reductions.batch_norm,
    "MeanVarianceNormalization": reductions.mean_variance,
    "LpNormalization": reductions.one_axis,
    "LRN": reductions.over_channels,
    **dict.fromkeys(("CumSum", "CumProd"), reductions.running),
    "TopK": reductions.top_k,
    "DynamicQuantizeLinear": reductions.whole_tensor,
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), reductions.quantize),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), windows.conv),
    "ConvTranspose": windows.conv_transpose,
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), windows.pool),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), windows.global_pool),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), products.matmul),
    "Gemm": products.gemm,
    "Einsum": products.einsum,
    "Transpose": layout.transpose,
    "Squeeze": layout.squeeze,
    "Unsqueeze": layout.unsqueeze,
    "Flatten": layout.flatten,
    "Reshape": layout.reshape,
    "Concat": layout.concat,
    "Split": layout.split,
    "Expand": layout.expand,
    "Tile": layout.tile,
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), layout.depth_to_space),
    "Slice": indexing.slice_,
    "Gather": indexing.gather,
    **dict.fromkeys(("GatherElements", "ScatterElements", "Scatter"), indexing.elements),
    "GatherND": indexing.gather_nd,
    "Pad": indexing.pad,
    **dict.fromkeys(("Resize", "Upsample"), windows.resize),
    "OneHot": indexing.one_hot,
    "Trilu": indexing.trilu,
    "GridSample": indexing.grid_sample,
    "ConstantOfShape": makers.constant_of_shape,
    "Range": makers.range_,
    **dict.fromkeys(("RNN", "GRU", "LSTM"), makers.recurrent),
    "Attention": makers.attention,
    "ReverseSequence": makers.reverse_sequence,
    "Det": makers.determinant,
}

# Of ai.onnx.ml: tables, row by row.
TABLE_RULES: Mapping[str, Rule] = dict.fromkeys(
    (
        *("Scaler", "Binarizer", "Imputer", "Normalizer", "LabelEncoder"),
        *("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"),
        *("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"),
    ),
    makers.per_row,
)

# What they give is another thing each time.
RANDOM = frozenset(
    ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")
)
# Inputs that say shapes, axes or counts: there the number of rows is no number that is computed with.
TAKES_COUNTS = frozenset(
    (
        *("Reshape", "Expand", "Slice", "Tile", "ConstantOfShape", "Range", "Pad", "Resize", "Upsample"),
        *("Split", "TopK", "OneHot", "Squeeze", "Unsqueeze", "Gather", "Shape", "Size"),
    )
)
MIXES = {
    "Unique": "it looks for equal numbers in all rows",
}
