"""What the generators of LiteRT programs make, against tests/support/program_formats.json.

``python tests/support/program_formats.py --update`` (with the checkout on PYTHONPATH) writes the JSON anew. It refuses
where a program changed and no format number of its generators did.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adapters.bundle import render_clip
from adapters.config import adapter_class
from adapters.inference import ready_configs
from adapters.litert import program_cache
from adapters.litert.graph import read_graph, schema
from adapters.models import ModelAdapter
from adapters.models.programs import make_program_bytes
from adapters.training import build_head

RECORD = Path(__file__).with_suffix(".json")
COMMAND = "python tests/support/program_formats.py --update"
# Whoever computed a constant - another processor, another version of TensorFlow - may have rounded it otherwise.
FLOAT_TOLERANCE, COARSE_TOLERANCE = 1e-6, 2e-3

# Generator -> its number.
NUMBERS = {
    "conversion": "CONVERSION_FORMAT",
    "head": "HEAD_FORMAT",
    "efficientnet_lite": "EfficientNetLiteAdapter.network_format",
    "mobilenet": "MobileNetAdapter.network_format",
    "resnet18": "ResNet18Adapter.network_format",
    "movinet": "MoViNetAdapter.network_format",
    "movinet_stream": "STREAM_FORMAT",
}
_CONFIG_OF = {"efficientnet_lite": "efficientnet_lite0", "movinet": "movinet_a0_base"}
_CONFIG_OF |= {"mobilenet": "mobilenet_v3", "resnet18": "resnet18", "movinet_stream": "movinet_a0_stream"}


@dataclass(frozen=True)
class Described:
    """What a program is, without what differs between versions of the converter for the same program.

    structure: the SHA-256 of operators with their options, tensors' shapes and types, how they are joined, whole-number
    constants and the names of the signatures. constants: of every other one, and of the scales of 8-bit tensors, its
    norm, a weighted sum, and 1 where it is rounded further than float32 or was measured on clips.
    """

    structure: str
    constants: list[list[float]]

    def differs_from(self, other: Described) -> str | None:
        """In what, or None."""
        if self.structure != other.structure or len(self.constants) != len(other.constants):
            return "operators, tensors or their order"
        for number, (own, theirs) in enumerate(zip(self.constants, other.constants, strict=True)):
            tolerance = (COARSE_TOLERANCE if own[2] else FLOAT_TOLERANCE) * max(abs(theirs[0]), 1e-12)
            if max(abs(own[0] - theirs[0]), abs(own[1] - theirs[1])) > tolerance:
                return f"constant {number} of {len(self.constants)}"
        return None


# Programs -----------------------------------------------------------------------------------------------------------


def adapter_of(family: str, **keys: Any) -> ModelAdapter:
    """An adapter of a family with random weights, tiny frames and a head of two classes."""
    config = json.loads(ready_configs()[_CONFIG_OF[family]].read_text(encoding="utf-8"))
    small = {"weights": "random", "imgz": 32, "labels": ["cold", "warm"], "n_frames": 2}
    config = {**config, **small, "head": [{"units": 8, "activation": "relu"}], **keys}
    adapter = adapter_class(config["adapter"])(config)
    assert isinstance(adapter, ModelAdapter)
    return adapter


def head_program() -> bytes:
    """A head of every activation alone."""
    from adapters.litert import to_litert
    from adapters.training import assign, random_variables

    activations = ("linear", "relu", "relu6", "gelu", "tanh", "hard_swish")
    layers = [layer for name in activations for layer in ({"units": 6, "activation": name}, {"dropout": 0.3})]
    head, _ = build_head({"head": layers, "positive_label": None, "task": "multi_label"}, 5, 3)
    assign(head, random_variables(head, 3))
    return to_litert(head, (1, 5))


def converted_program(quantize: Any) -> bytes:
    """A tiny network that is none of an adapter's."""
    from lite_programs import tiny_program

    return tiny_program(quantize)


def family_program(family: str, quantize: Any = "none") -> bytes:
    adapter = adapter_of(family)
    clips = [render_clip(adapter.input_spec, variant) for variant in range(2)] if quantize == "int8" else ()
    return make_program_bytes(adapter, quantize, clips)


# Name -> (generators that it follows from, how it is made).
PROGRAMS: dict[str, tuple[tuple[str, ...], Callable[[], bytes]]] = {
    f"conversion {quantize}": (("conversion",), partial(converted_program, quantize))
    for quantize in ("none", "float16", "dynamic", "int8")
}
PROGRAMS["head none"] = (("conversion", "head"), head_program)
for _family in ("efficientnet_lite", "mobilenet", "resnet18", "movinet"):
    PROGRAMS[f"{_family} none"] = (("conversion", "head", _family), partial(family_program, _family))
# int8 is made of the float32 program, so that it stands for both; a conversion takes seconds.
_USES = ("conversion", "head", "movinet", "movinet_stream")
PROGRAMS["movinet_stream int8"] = (_USES, partial(family_program, "movinet_stream", "int8"))


def numbers() -> dict[str, int]:
    """The present format number of each generator."""
    found = {"conversion": program_cache.CONVERSION_FORMAT, "head": program_cache.HEAD_FORMAT}
    found |= {name: adapter_of(name).network_format for name in NUMBERS if name not in (*found, "movinet_stream")}
    return found | {"movinet_stream": adapter_of("movinet_stream").program_formats["stream"]}


# What a program is --------------------------------------------------------------------------------------------------


def describe(program: bytes) -> Described:
    """See ``Described``."""
    graph = read_graph(program, "program")
    digest, constants, seen = hashlib.sha256(), list[list[float]](), set[int]()
    for sub in graph.subgraphs:
        places = {int(tensor): number for number, tensor in enumerate(sub.inputs)}
        for operator in sub.operators or ():
            code = graph.operatorCodes[operator.opcodeIndex]
            digest.update(repr((max(code.builtinCode, code.deprecatedBuiltinCode), _options(operator))).encode())
            for index in operator.outputs:
                places.setdefault(int(index), len(places))
            for index in (*operator.inputs, *operator.outputs):
                tensor = sub.tensors[index] if index >= 0 else None
                if tensor is None:
                    digest.update(b"none")
                    continue
                place = places.get(int(index))
                shape = None if tensor.shape is None else [int(size) for size in tensor.shape]
                digest.update(repr((place, shape, int(tensor.type))).encode())
                if tensor.quantization is not None and tensor.quantization.scale is not None:
                    constants.append(_summary(np.asarray(tensor.quantization.scale), coarse=place is not None))
                if place is None and tensor.buffer not in seen:
                    seen.add(tensor.buffer)
                    _add_constant(graph, tensor, digest, constants)
        digest.update(repr([places.get(int(index)) for index in sub.outputs]).encode())
    for signature in graph.signatureDefs or ():
        names = sorted(str(part.name) for part in (*(signature.inputs or ()), *(signature.outputs or ())))
        digest.update(repr((str(signature.signatureKey), names)).encode())
    return Described(digest.hexdigest(), constants)


def _options(operator: Any) -> dict[str, str]:
    """The operator's options; what is at 0 may be one that an older schema does not have."""
    options = vars(operator.builtinOptions) if operator.builtinOptions is not None else {}
    return {name: str(value) for name, value in sorted(options.items()) if value is not None and not _is_zero(value)}


def _is_zero(value: Any) -> bool:
    return bool(np.ndim(value) == 0 and value == 0)


def _add_constant(graph: Any, tensor: Any, digest: Any, constants: list[list[float]]) -> None:
    types, data = schema().TensorType, graph.buffers[tensor.buffer].data
    raw = bytes(data) if data is not None else b""
    kinds = {types.FLOAT32: "<f4", types.FLOAT16: "<f2", types.INT8: "i1", types.UINT8: "u1", types.INT32: "<i4"}
    scaled = tensor.quantization is not None and tensor.quantization.scale is not None
    if tensor.type not in kinds or (tensor.type == types.INT32 and not scaled):
        digest.update(raw)
        return
    constants.append(_summary(np.frombuffer(raw, kinds[tensor.type]), coarse=tensor.type != types.FLOAT32))


def _summary(values: Any, coarse: bool) -> list[float]:
    """[norm, weighted sum, coarse]: the sum changes where two values change places."""
    numbers = values.astype(np.float64).ravel()
    weighted = float(numbers @ np.cos(np.arange(len(numbers)) * 2.399963))
    return [float(f"{np.linalg.norm(numbers):.9g}"), float(f"{weighted:.9g}"), int(coarse)]


# The record ---------------------------------------------------------------------------------------------------------


def make_all() -> dict[str, Described]:
    """Every program as it is made now, in an empty cache."""
    before = os.environ.get("CLIPLAB_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CLIPLAB_CACHE"] = folder
        try:
            return {name: describe(make()) for name, (_, make) in PROGRAMS.items()}
        finally:
            os.environ.pop("CLIPLAB_CACHE")
            if before is not None:
                os.environ["CLIPLAB_CACHE"] = before


def read_record(path: Path = RECORD) -> tuple[dict[str, int], dict[str, Described]]:
    """(format numbers, programs) as they were recorded."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return stored["formats"], {name: Described(**of) for name, of in stored["programs"].items()}


def problem(
    made: Mapping[str, Described],
    present: Mapping[str, int],
    recorded: Mapping[str, Described],
    recorded_numbers: Mapping[str, int],
) -> str | None:
    """What is to be done where programs and their format numbers disagree with the record; None where they agree."""
    differing = {name: made[name].differs_from(recorded[name]) for name in made if name in recorded}
    changed = {name: what for name, what in differing.items() if what is not None}
    raised = {name for name, number in present.items() if number != recorded_numbers.get(name)}
    silent = {name: what for name, what in changed.items() if not raised & set(PROGRAMS[name][0])}
    if silent:
        same = {user for name in made if name not in changed for user in PROGRAMS[name][0]}
        shared = set.intersection(*(set(PROGRAMS[name][0]) for name in silent))
        suspects = sorted(shared - same) or sorted(shared) or sorted({u for name in silent for u in PROGRAMS[name][0]})
        return (
            f"programs changed ({'; '.join(f'{name}: {what}' for name, what in silent.items())}) and no format number "
            f"did, so cached programs would be stale. Raise {' or '.join(NUMBERS[name] for name in suspects)}, then "
            f"run {COMMAND}"
        )
    if changed or raised or set(made) != set(recorded):
        return f"format numbers or programs are not as recorded ({sorted(raised | set(changed))}). Run {COMMAND}"
    return None


def write_record(path: Path, present: Mapping[str, int], made: Mapping[str, Described]) -> None:
    def line(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    rows = ",\n".join(f"{line(name)}:{line(vars(of))}" for name, of in made.items())
    path.write_text(f'{{"formats":{line(present)},\n"programs":{{\n{rows}\n}}}}\n', encoding="utf-8")


def main() -> int:
    if sys.argv[1:] != ["--update"]:
        print(__doc__)
        return 2
    made, present = make_all(), numbers()
    if RECORD.is_file():
        formats, recorded = read_record()
        wrong = problem(made, present, recorded, formats)
        if wrong is not None and "Raise" in wrong:
            print(wrong)
            return 1
    write_record(RECORD, present, made)
    print(f"{RECORD}: {len(made)} programs")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
