"""A tiny pair of an image and a text network that know three colours, in TensorFlow Lite or ONNX; no TensorFlow.

A picture's vector is its mean colour. A text's is the mean of those of its words: red, green, blue, grey.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from adapters.litert import GraphWriter

SIZE, CONTEXT = 8, 8
WORDS = {"[PAD]": 0, "[UNK]": 1, "red": 2, "green": 3, "blue": 4, "grey": 5}
# Rows of the text network's table by token. A grey picture has the mean of all colours, which is about zero.
TABLE = np.array(
    [[0, 0, 0], [0.01, 0.01, 0.01], [2, -1, -1], [-1, 2, -1], [-1, -1, 2], [1, 1, 1]], np.float32
)  # fmt: skip


def write_pair(folder: Path, form: str = "tflite", **changes: Any) -> Path:
    """A pair's folder.

    Args:
        folder: Made here.
        form: "tflite" or "onnx".
        **changes: Keys of preprocessor_config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image, text = (image_tflite(), text_tflite()) if form == "tflite" else (image_onnx(), text_onnx())
    (folder / f"image.{form}").write_bytes(image)
    (folder / f"text.{form}").write_bytes(text)
    (folder / "tokenizer.json").write_text(json.dumps(word_tokenizer()))
    preparation = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": SIZE, "do_center_crop": False}
    (folder / "preprocessor_config.json").write_text(json.dumps({**preparation, **changes}))
    return folder


def word_tokenizer() -> dict[str, Any]:
    """tokenizer.json of whole words."""
    nothing = dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
    model = {"type": "WordLevel", "vocab": WORDS, "unk_token": "[UNK]"}
    parts = {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}}
    return {"version": "1.0", **nothing, "added_tokens": [], **parts, "model": model}


def image_tflite(width: int = 3) -> bytes:
    """float32 [1, 8, 8, 3] to the mean of its pixels, [1, width]."""
    writer = GraphWriter((1, SIZE, SIZE, 3))
    mean = writer.mean(writer.images, name="mean")
    vector = writer.dense(mean, np.eye(3, width, dtype=np.float32), np.zeros(width, np.float32), name="vector")
    return writer.packed({"image_embeds": vector})


def text_tflite() -> bytes:
    """int32 [1, 8] tokens to the mean of their rows, [1, 3]."""
    writer = GraphWriter((1, CONTEXT))
    editor, graph, parts = writer._editor, writer._graph, writer._editor.schema
    graph.graph.tensors[writer.images].type = parts.TensorType.INT32
    table = graph.add_constant("table", TABLE)
    rows = graph.add_tensor("rows", "float32", (1, CONTEXT, 3))
    gather = graph.operator("GATHER", [table, writer.images], [rows])
    gather.builtinOptionsType, gather.builtinOptions = parts.BuiltinOptions.GatherOptions, parts.GatherOptionsT()
    vector = graph.add_tensor("vector", "float32", (1, 3))
    mean = graph.operator("MEAN", [rows, graph.add_constant("axes", np.array([1], np.int32))], [vector])
    mean.builtinOptionsType, mean.builtinOptions = parts.BuiltinOptions.ReducerOptions, parts.ReducerOptionsT()
    graph.graph.operators = [gather, mean]
    assert editor is not None
    return writer.packed({"text_embeds": vector})


# ONNX as protocol buffers, field by field (onnx/onnx.proto3) ----------------------------------------------------------


def image_onnx(external: bool = False, domain: str = "") -> bytes:
    """float32 [N, 3, 8, 8] to the mean of its pixels, [N, 3]."""
    mean = _node("ReduceMean", ["pixel_values"], ["image_embeds"], axes=[2, 3], domain=domain)
    tensors = [_tensor("unused", np.zeros(1, np.float32), external)] if external else []
    return _model(
        [mean], tensors, _value("pixel_values", 1, ("batch", 3, SIZE, SIZE)), _value("image_embeds", 1, ("batch", 3))
    )


def text_onnx() -> bytes:
    """int64 [N, T] tokens to the mean of their rows, [N, 3]."""
    nodes = [
        _node("Gather", ["table", "input_ids"], ["rows"]),
        _node("ReduceMean", ["rows"], ["text_embeds"], axes=[1]),
    ]
    tokens, vector = _value("input_ids", 7, ("batch", CONTEXT)), _value("text_embeds", 1, ("batch", 3))
    return _model(nodes, [_tensor("table", TABLE)], tokens, vector)


def _number(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    data = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | 2) + _number(len(data)) + data


def _node(kind: str, inputs: list[str], outputs: list[str], axes: list[int] | None = None, domain: str = "") -> bytes:
    text = b"".join([*(_field(1, name) for name in inputs), *(_field(2, name) for name in outputs), _field(4, kind)])
    if axes is not None:
        text += _field(5, _field(1, "axes") + b"".join(_field(8, axis) for axis in axes) + _field(20, 7))
        text += _field(5, _field(1, "keepdims") + _field(3, 0) + _field(20, 2))
    return text + (_field(7, domain) if domain else b"")


def _tensor(name: str, values: np.ndarray, external: bool = False) -> bytes:
    text = b"".join(_field(1, size) for size in values.shape) + _field(2, 1) + _field(8, name)
    if external:
        return text + _field(13, _field(1, "location") + _field(2, "/etc/passwd")) + _field(14, 1)
    return text + _field(9, values.tobytes())


def _value(name: str, kind: int, shape: tuple[int | str, ...]) -> bytes:
    sizes = b"".join(_field(1, _field(1, size) if isinstance(size, int) else _field(2, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes)))


def _model(nodes: list[bytes], tensors: list[bytes], given: bytes, result: bytes) -> bytes:
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "tiny")
    graph += b"".join(_field(5, tensor) for tensor in tensors) + _field(11, given) + _field(12, result)
    return _field(1, 8) + _field(8, _field(2, 13)) + _field(7, graph)
