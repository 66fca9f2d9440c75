"""Whether a SavedModel's graph only computes: checked from its description before TensorFlow is given it.

A SavedModel is a program: its functions may read and write files, call Python, or reach the network, some as soon as it
is loaded. Its variables are read without it (``checkpoint_graph``). Where the graph has to run, to compare its logits
with ours, every operator must be one of those that a MoViNet is made of; what saves and restores the variables is in
every SavedModel, and may be reached from nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.errors import WeightsError
from adapters.system import import_tensorflow
from movinet_adapter.weights.checkpoint_graph import first_line

MAX_GRAPH_BYTES = 256 << 20
# Operators without effects outside the graph: arithmetic, shapes, control flow, variables.
_COMPUTE_NAMES = """
    Abs Add AddN AddV2 All Any ArgMax AssignAddVariableOp AssignSubVariableOp AssignVariableOp AvgPool AvgPool3D
    BatchMatMul BatchMatMulV2 BiasAdd BroadcastTo Cast Ceil ClipByValue Concat ConcatV2 Const Conv2D Conv3D
    DepthwiseConv2dNative DisableCopyOnRead Div DivNoNan Einsum Elu Equal Exp ExpandDims Fill Floor FloorDiv FloorMod
    FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherV2 Greater GreaterEqual Identity IdentityN If
    LeakyRelu Less LessEqual Log LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool MaxPool3D Maximum Mean Merge Min
    Minimum MirrorPad Mul Neg NoOp NotEqual OnesLike Pack Pad PadV2 PartitionedCall Placeholder PlaceholderWithDefault
    Pow PreventGradient Prod Range Rank ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear Reverse
    ReverseV2 Round Rsqrt Select SelectV2 Shape ShapeN Sigmoid Sign Size Slice Softmax Softplus Split SplitV Sqrt Square
    SquaredDifference Squeeze StatefulPartitionedCall StatelessIf StatelessWhile StopGradient StridedSlice Sub Sum Swish
    Switch Tanh Tile Transpose Unpack VarHandleOp VarIsInitializedOp While XlaLaunch ZerosLike
"""
_COMPUTE = frozenset(_COMPUTE_NAMES.split())
# What saving and restoring the variables needs; files, so only where nothing that runs reaches it.
_SAVER = frozenset(
    ("MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename", "StaticRegexFullMatch", "StringJoin")
)
# The kinds of objects that a loaded SavedModel may have; tables, assets and other resources are initialised by graphs.
_OBJECTS = ("user_object", "function", "variable", "bare_concrete_function", "constant", "captured_tensor")


def require_safe_graph(folder: str, where: str) -> None:
    """Refuse a SavedModel that may do more than compute.

    Args:
        folder: The SavedModel, any path that TensorFlow opens.
        where: What messages call it.

    Raises:
        WeightsError: An operator or object is not one of those that a MoViNet needs; the message names it.
    """
    graph = _read(f"{folder}/saved_model.pb", where)
    objects = graph.object_graph_def
    kinds = {node.WhichOneof("kind") for node in objects.nodes}
    if not objects.nodes:
        raise _refused(where, "has no objects, so TensorFlow 1 wrote it")
    if graph.asset_file_def or kinds - set(_OBJECTS):
        raise _refused(where, f"holds a {', '.join(sorted(map(str, kinds - set(_OBJECTS)))) or 'asset'}")
    functions = {item.signature.name: item for item in graph.graph_def.library.function}
    saver = _only_for_saving(functions, set(objects.concrete_functions))
    for name, function in functions.items():
        _require_known(function.node_def, _COMPUTE | _SAVER if name in saver else _COMPUTE, name, where)
    _require_known(graph.graph_def.node, _COMPUTE, "the outer graph", where)


def _read(path: str, where: str) -> Any:
    tf = import_tensorflow()
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        size = tf.io.gfile.stat(path).length
        if size > MAX_GRAPH_BYTES:
            raise _refused(where, f"has a saved_model.pb of {size} bytes; at most {MAX_GRAPH_BYTES} are allowed")
        with tf.io.gfile.GFile(path, "rb") as file:
            model = SavedModel.FromString(file.read())
        (graph,) = model.meta_graphs
    except WeightsError:
        raise
    except Exception as error:  # TensorFlow's and protobuf's, by what is damaged
        raise WeightsError(
            f"{where} is damaged: its saved_model.pb could not be read ({first_line(error)}). Download it again."
        ) from error
    return graph


def _only_for_saving(functions: Mapping[str, Any], entries: set[str]) -> set[str]:
    """Functions that neither another function nor an object of the loaded model refers to."""
    referred = set(entries)
    for function in functions.values():
        for node in function.node_def:
            referred.add(node.op)
            for value in node.attr.values():
                referred |= {value.func.name, *(item.name for item in value.list.func)}
    return {name for name in functions if name not in referred}


def _require_known(nodes: Iterable[Any], allowed: frozenset[str], within: str, where: str) -> None:
    for node in nodes:
        if node.op not in allowed:
            raise _refused(where, f"uses the operator {node.op!r} ({node.name!r:.80} in {within!r:.80})")


def _refused(where: str, reason: str) -> WeightsError:
    return WeightsError(
        f"{where} {reason}, which no MoViNet needs, so it is not run. Give the published SavedModel, one that "
        "tf-models' export_saved_model wrote, or its checkpoint, of which only the variables are read."
    )
