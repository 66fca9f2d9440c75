"""Self-describing .tflite files that are made in a millisecond, and the smallest adapter that opens them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from tiny_adapter import TinyAdapter

from adapters.config import check_config, override_config
from adapters.litert import read_description, with_description


class TfliteAdapter(TinyAdapter):
    """Scores colour, as TinyAdapter does, with the config and labels of a .tflite."""

    def load(self, local_path: str | Path) -> None:
        stored = check_config(read_description(local_path)["config"], str(local_path))
        self.config, _ = override_config(stored, self.given, str(local_path), explicit=self.explicit)


class OverwrittenAdapter(TfliteAdapter):
    """One whose file somebody writes over while it is loaded."""

    def load(self, local_path: str | Path) -> None:
        super().load(local_path)
        make_tflite(Path(local_path), "overwritten")


@functools.cache
def bare_program(size_bytes: int) -> bytes:
    """A FlatBuffer of TFLite's schema with one buffer of weights and no operators."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [], []
    model.buffers = [schema.BufferT()]
    model.buffers[0].data = np.arange(size_bytes, dtype=np.uint8)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def make_tflite(path: Path, label: str = "warm", size_bytes: int = 64, **config: Any) -> Path:
    """A model for TfliteAdapter. label: of its second class, so that one can tell which model predicted."""
    labels = [f"not {label}", label]
    config = {"schema_version": 2, "adapter": "tflite_adapter:TfliteAdapter", "n_frames": 1, **config}
    config = check_config({**config, "labels": labels, "positive_label": label})
    path.write_bytes(with_description(bare_program(size_bytes), {"config": config, "labels": labels}))
    return path
