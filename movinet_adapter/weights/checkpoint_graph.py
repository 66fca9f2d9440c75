"""What a TensorFlow checkpoint holds, read as data: its objects by name and their values. No model is run or built.

A checkpoint stores, beside the values, the graph of the Python objects that held them: nodes, each with named children
and, where it is a variable, the key of its value (tensorflow/core/protobuf/trackable_object_graph.proto). Keys differ
between releases of TensorFlow, the graph does not; so variables are found by walking it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.errors import WeightsError
from adapters.records import Float32Array
from adapters.system import captured_stderr, import_tensorflow

_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_NOT_WEIGHTS = ("optimizer", "keras_api", "loss")  # children of a compiled Keras model that hold no weights of it


@dataclass(frozen=True, eq=False)
class StoredVariable:
    """One variable as it was stored.

    Attributes:
        name: Its writer's name for it.
        value: float32.
    """

    name: str
    value: Float32Array


@dataclass(frozen=True, eq=False)
class CheckpointGraph:
    """An open checkpoint.

    Attributes:
        where: What messages call it.
        reader: TensorFlow's reader of its values.
        nodes: The stored objects; node 0 is the object that was saved.
    """

    where: str
    reader: Any
    nodes: Any

    def find(self, path: str, start: int = 0) -> int | None:
        """The node at a path of child names such as ``model/layer_with_weights-0``; None where there is none."""
        node: int | None = start
        for name in path.split("/"):
            node = self.children(node).get(name) if node is not None else None
        return node

    def children(self, node: int) -> dict[str, int]:
        """The node's children by name, in the order in which they were stored."""
        return {child.local_name: child.node_id for child in self.nodes[node].children}

    def is_variable(self, node: int) -> bool:
        """Whether a node has a value."""
        return any(item.name == "VARIABLE_VALUE" for item in self.nodes[node].attributes)

    def variables_under(self, node: int) -> list[int]:
        """Every variable that can be reached from a node, but those of its optimizer and metrics."""
        seen, found, waiting = {node}, [], [node]
        while waiting:
            at = waiting.pop()
            if self.is_variable(at):
                found.append(at)
            for name, child in self.children(at).items():
                if child not in seen and name not in _NOT_WEIGHTS:
                    seen.add(child)
                    waiting.append(child)
        return found

    def name_of(self, node: int) -> str:
        """What the writer called a variable, else the key of its value."""
        item = self._value_entry(node)
        return str(item.full_name or item.checkpoint_key)

    def read(self, node: int) -> StoredVariable:
        """Read a variable.

        Args:
            node: A node with a value.

        Raises:
            WeightsError: It is damaged, or not float32 as every MoViNet variable is.
        """
        name = self.name_of(node)
        try:
            with captured_stderr():
                value = np.asarray(self.reader.get_tensor(self._value_entry(node).checkpoint_key))
        except Exception as error:  # TensorFlow raises RuntimeError, KeyError or its own, by what is damaged
            raise WeightsError(
                f"{self.where} is damaged: its variable {name!r} could not be read ({first_line(error)}). "
                "Download it again."
            ) from error
        if value.dtype != np.float32:
            raise WeightsError(
                f"{self.where}: its variable {name!r} is {value.dtype} but those of a MoViNet are float32. Give the "
                "SavedModel or checkpoint of a MoViNet."
            )
        return StoredVariable(name, value)

    def _value_entry(self, node: int) -> Any:
        return next(item for item in self.nodes[node].attributes if item.name == "VARIABLE_VALUE")


def open_checkpoint(prefix: str, where: str) -> CheckpointGraph:
    """Open a checkpoint. Imports TensorFlow.

    Args:
        prefix: Its files are ``<prefix>.index`` and ``<prefix>.data-*``; any path that TensorFlow opens.
        where: What messages call it.

    Raises:
        WeightsError: The files are missing or damaged, or TensorFlow 1 wrote them.
    """
    tf = import_tensorflow()
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    try:
        with captured_stderr():
            reader = tf.train.load_checkpoint(prefix)
            if not reader.has_tensor(_GRAPH_KEY):
                raise WeightsError(
                    f"{where} has no object graph, so TensorFlow 1 or another program wrote it. Give the SavedModel or "
                    "checkpoint of a MoViNet."
                )
            nodes = TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH_KEY)).nodes
    except WeightsError:
        raise
    except Exception as error:  # TensorFlow raises ValueError, RuntimeError or its own, by what is wrong
        raise WeightsError(
            f"{where} is damaged or incomplete: its variables could not be read ({first_line(error)}). Download it "
            "again."
        ) from error
    return CheckpointGraph(where, reader, nodes)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without the page that TensorFlow may add; its kind where it has none."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
