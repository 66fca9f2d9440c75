"""Models and weights from elsewhere: programs, state dicts, and the other files that a model consists of."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.case import Kind, Run, outcome, random_of
from fuzzing.mutators import FLATBUFFER, NUMBERS, PICKLE, TEXT, ZIP, mutate
from fuzzing.programs import SIZE, clip_program, frame_program, stream_program

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
LABELS = ["cold", "mild", "warm"]
CONFIG = {
    "schema_version": 2,
    "adapter": "adapters.models.mobilenet:MobileNetAdapter",
    "labels": LABELS,
    "imgz": SIZE,
    "n_frames": 2,
    "num_threads": 1,
}


STREAM_CONFIG = {
    "schema_version": 2,
    "adapter": "movinet_adapter:MoViNetAdapter",
    "model_mode": "stream",
    "labels": LABELS,
    "imgz": SIZE,
    "num_threads": 1,
}


def described_stream(program: bytes) -> bytes:
    """The program as a .tflite that describes itself: a MoViNet that follows streams."""
    from adapters.config import check_config
    from adapters.litert import with_description

    name = f"float32_stream_1x1x{SIZE}x{SIZE}x3"
    return with_description(program, {"config": check_config(STREAM_CONFIG), "labels": LABELS, "program": name})


def described_program(program: bytes) -> bytes:
    """The program as a .tflite that describes itself: a MobileNet of three labels, with right digests."""
    from adapters.config import check_config
    from adapters.litert import with_description

    description = {"config": check_config(CONFIG), "labels": LABELS, "program": f"float32_1x{SIZE}x{SIZE}x3"}
    return with_description(program, description)


# Programs.


def change_part(random: Random, program: bytes) -> bytes:
    """A whole FlatBuffer with a changed number: a shape, a type, an index, an option. LiteRT reads all of it."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(program, 0)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        graph = random.choice(model.subgraphs)
        parts = [*graph.tensors, *graph.operators, *(op.builtinOptions for op in graph.operators if op.builtinOptions)]
        parts += [*model.operatorCodes, graph, *(signature for signature in model.signatureDefs or ())]
        _change_field(random, random.choice(parts))
    builder = schema.flatbuffers.Builder(len(program) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _change_field(random: Random, part: Any) -> None:
    names = [name for name, value in vars(part).items() if isinstance(value, (int, float, list, np.ndarray))]
    if not names:
        return
    name = random.choice(names)
    value = getattr(part, name)
    if isinstance(value, (int, float)):
        setattr(part, name, type(value)(random.choice((value + 1, value - 1, random.choice(NUMBERS) % 127))))
    elif len(value) and not isinstance(value[0], (int, float, np.number)):
        random.shuffle(value)
    else:
        numbers = [int(number) for number in value]
        at = random.randrange(len(numbers) + 1)
        number = random.choice((0, 1, -1, 2, 3, 7, 64, 1000, 1 << 16, (1 << 31) - 1))
        numbers[at : at + random.choice((0, 1, 1, 1))] = random.choice(([], [number], [number]))
        setattr(part, name, numbers)


def mutated_program(random: Random) -> bytes:
    """A .tflite whose FlatBuffer is damaged, or whole with other contents."""
    programs = [frame_program(), frame_program(), clip_program(), stream_program()]
    program = random.choice(programs)
    if random.random() < 0.6:
        try:
            return change_part(random, program)
        except Exception:  # the classes of the schema cannot write every value
            return program
    return mutate(random, program, FLATBUFFER, programs)


@contextmanager
def tflite(folder: Path) -> Iterator[Run]:
    from adapters.inference import open_model
    from adapters.litert import Program, StreamProgram, with_8_bit_weights
    from adapters.litert.graph import operators, precision
    from adapters.records import Clip
    from movinet_adapter.weights.tflite_weights import read_tflite_weights

    published = SHARED / "weights" / "movinet_a0_stream_int8.tflite"
    path, images = folder / "case.tflite", np.random.default_rng(0).random((2, SIZE, SIZE, 3), dtype=np.float32)
    sealed = described_program(frame_program())
    clip = Clip((images * 255).astype(np.uint8), np.array([0.0, 0.1]), "case", 0.0, 0.2)

    def open_described() -> None:
        open_model(path).predict([clip])

    def run_items() -> None:
        program = Program(path, num_threads=1)
        program.run(np.zeros((2, *program.input_shape[1:]), np.float32))

    def run_stream() -> None:
        program = StreamProgram(path, num_threads=1)
        program.open().advance(np.zeros((2, *program.image_shape[2:]), np.float32))

    def read_parts() -> None:
        data = path.read_bytes()
        operators(data), precision(data), with_8_bit_weights(data)

    def run(seed: int) -> str:
        random = random_of("tflite", seed)
        work = random.choice((open_described, open_described, run_items, run_stream, read_parts, None))
        if work is None:
            whole = published.read_bytes() if published.is_file() and random.random() < 0.2 else None
            path.write_bytes(mutate(random, whole, FLATBUFFER) if whole else mutated_program(random))
            return outcome(lambda: read_tflite_weights(path))
        if work is open_described and random.random() < 0.3:
            path.write_bytes(mutate(random, sealed, FLATBUFFER + TEXT))
            return outcome(work)
        program = mutated_program(random)
        path.write_bytes(program)
        if work is open_described:
            described_as = random.choice((described_program, described_program, described_stream))
            described = outcome(lambda: path.write_bytes(described_as(program)))
            return outcome(work) if described == "read" else described
        return outcome(work)

    yield run


# State dicts.


def _torch_files() -> list[bytes]:
    from adapters.models.weights.torch_writer import state_dict_bytes

    rng = np.random.default_rng(0)
    arrays = {
        "features.0.weight": rng.random((4, 3, 3, 3), dtype=np.float32),
        "classifier.bias": np.zeros(3, np.float32),
    }
    others = {**arrays, "classifier.weight": np.ones((3, 4), np.float16), "count": np.array(7, np.int64)}
    return [state_dict_bytes(arrays), state_dict_bytes(others)]


@contextmanager
def pth(folder: Path) -> Iterator[Run]:
    from adapters.models.resnet18 import ResNet18Adapter
    from adapters.models.weights.torch_pickle import read_state_dict

    seeds = _torch_files()
    config = {"schema_version": 2, "adapter": "adapters.models.resnet18:ResNet18Adapter", "labels": LABELS}

    def run(seed: int) -> str:
        random = random_of("pth", seed)
        path = folder / f"case{random.choice(('.pth', '.pth', '.pt'))}"
        data = mutate(random, random.choice(seeds), PICKLE, seeds)
        if random.random() < 0.3:
            data = _rezipped(random, random.choice(seeds))
        path.write_bytes(data)
        if random.random() < 0.3:
            return outcome(lambda: ResNet18Adapter({**config, "weights": str(path)}).pretrained())
        return outcome(lambda: read_state_dict(path))

    yield run


def _rezipped(random: Random, archive: bytes) -> bytes:
    """The archive with a damaged member and right checksums; members are also left out, doubled or compressed."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = random.choice(names) if random.random() < 0.3 else names[0]
        for name in names:
            data = old.read(name)
            if name == chosen or name.endswith("data.pkl"):
                data = mutate(random, data, PICKLE[:3])
            if random.random() < 0.95:
                method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
                new.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


# The other files of a model: weights, the golden clip, the list of files, configs.


@contextmanager
def model_files(folder: Path) -> Iterator[Run]:
    from adapters.bundle import Golden, golden_to_bytes, read_bundle, read_bundle_config, write_bundle
    from adapters.bundle.golden_file import golden_from_bytes
    from adapters.config import check_config, read_config_file
    from adapters.models.weights.files import read_safetensors, write_safetensors
    from adapters.records import Clip

    bundle, weights = folder / "model", folder / "weights.safetensors"
    arrays = {"a/kernel": np.ones((3, 4), np.float32), "b/bias": np.zeros(4, np.float32)}
    write_safetensors(weights, arrays)
    clip = Clip(np.zeros((2, 8, 8, 3), np.uint8), np.array([0.0, 0.1]), "golden", 0.0, 0.2)
    golden = Golden.of(clip, np.array([0.2, 0.3, 0.5], np.float32), LABELS)
    config, golden_bytes, tensors = check_config(CONFIG), golden_to_bytes(golden), weights.read_bytes()
    numbers = count()

    def bundle_case(random: Random) -> str:
        target = bundle.with_name(f"model{next(numbers)}")
        write_bundle(target, config=config, programs={f"float32_1x{SIZE}x{SIZE}x3": frame_program()}, weights=arrays,
                     metrics={}, golden=golden, card="# card\n")  # fmt: skip
        names = ["bundle.json", "config.json", "metrics.json", "golden.npz", "weights.safetensors"]
        changed = target / random.choice(names)
        changed.write_bytes(mutate(random, changed.read_bytes(), ZIP if changed.suffix == ".npz" else TEXT))
        if random.random() < 0.8:
            _seal(target, changed.name)

        def work() -> None:
            read_bundle_config(target)
            opened = read_bundle(target)
            opened.weights(), opened.golden
            check_config(opened.config, "case")

        return outcome(work)

    def run(seed: int) -> str:
        random = random_of("model_files", seed)
        choice = random.randrange(4)
        if choice == 0:
            path = folder / "case.safetensors"
            path.write_bytes(mutate(random, tensors, TEXT))
            return outcome(lambda: read_safetensors(path))
        if choice == 1:
            data = mutate(random, golden_bytes, ZIP)
            (folder / "case.npz").write_bytes(data)
            return outcome(lambda: golden_from_bytes(data, "case.npz"))
        if choice == 2:
            path = folder / random.choice(("case.json", "case.yaml"))
            text = json.dumps(config, indent=1) if random.random() < 0.7 else _yaml(config)
            path.write_bytes(mutate(random, text.encode(), TEXT))
            return outcome(lambda: check_config(read_config_file(path), str(path)))
        return bundle_case(random)

    yield run


def _seal(folder: Path, name: str) -> None:
    """Make the digest of a changed file right again, as an attacker would; a list that cannot be read stays."""
    path, data = folder / "bundle.json", (folder / name).read_bytes()
    try:
        seal = json.loads(path.read_text())
        seal["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} | {
            key: value for key, value in seal["files"][name].items() if key not in ("size", "sha256")
        }
        path.write_text(json.dumps(seal))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _yaml(config: Any) -> str:
    import yaml

    return str(yaml.safe_dump(dict(config)))


KINDS = {"tflite": Kind(200, tflite), "pth": Kind(500, pth), "model_files": Kind(200, model_files)}
