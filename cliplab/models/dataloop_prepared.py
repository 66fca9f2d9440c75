"""`cliplab dataloop programs`: the LiteRT programs of the app's models, made before a pod starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapters.errors import ConfigError
from adapters.inference import open_model
from adapters.system import cache_dir, did_you_mean
from cliplab.models.dataloop_app import make_manifest


@dataclass(frozen=True)
class PreparedProgram:
    """A program in the cache.

    Attributes:
        model: The model's name in the manifest.
        model_id: The size of a MoViNet; None for other models.
        seconds: What it took.
        converted: Whether TensorFlow converted it now; False if it was cached, or is written without TensorFlow.
    """

    model: str
    model_id: str | None
    seconds: float
    converted: bool

    @property
    def name(self) -> str:
        """The model with its size, for people."""
        return self.model if self.model_id is None else f"{self.model} {self.model_id}"


@dataclass(frozen=True)
class DataloopProgramsReport:
    """What `cliplab dataloop programs` made.

    Attributes:
        folder: The cache: $CLIPLAB_CACHE, in which the pod must find it again.
        programs: The programs, in the order of the manifest.
    """

    folder: str
    programs: tuple[PreparedProgram, ...]

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def dataloop_programs(
    models: Sequence[str] = (),
    model_ids: Sequence[str] = ("a0",),
    overrides: Mapping[str, Any] | None = None,
    on_program: Callable[[PreparedProgram], object] | None = None,
) -> DataloopProgramsReport:
    """Make the LiteRT programs that the app's models predict with, into the cache of programs.

    A runner image that holds this cache answers within seconds of a cold start, where converting a MoViNet takes from
    half a minute to five. Weights are downloaded into the same cache.

    Args:
        models: Names of models in the manifest; empty for all.
        model_ids: Sizes of MoViNet, "a0" to "a5".
        overrides: Keys of the configuration that the pods will have, such as imgz and n_frames: each value needs a
            program of its own.
        on_program: Receives each program when it is ready.

    Returns:
        What was made.

    Raises:
        ConfigError: A model or size is unknown, or a key is wrong.
        MissingExtraError: A program needs TensorFlow, which is not installed.
        WeightsError: Weights cannot be downloaded.
        StorageError: The cache cannot be written.
    """
    found = []
    for name, model_id, config in _configurations(models, model_ids):
        start = time.perf_counter()
        adapter = open_model({**config, **(overrides or {})})
        converted = adapter.needs_conversion
        adapter.program()
        done = PreparedProgram(name, model_id, round(time.perf_counter() - start, 1), converted)
        found.append(done)
        if on_program is not None:
            on_program(done)
    return DataloopProgramsReport(str(cache_dir()), tuple(found))


def _configurations(models: Sequence[str], model_ids: Sequence[str]) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Name, size and configuration of each model that is asked for."""
    listed = {entry["name"]: entry["configuration"] for entry in make_manifest()["components"]["models"]}
    if unknown := [name for name in models if name not in listed]:
        raise ConfigError(
            f"{unknown[0]!r} is not a model of the app; allowed: {', '.join(listed)}.{did_you_mean(unknown[0], listed)}"
        )
    if not model_ids:
        raise ConfigError("no size of MoViNet is given. Give at least one of a0 to a5")
    found: list[tuple[str, str | None, dict[str, Any]]] = []
    for name in models or listed:
        config = listed[name]
        if "model_id" in config:
            found += [(name, model_id, {**config, "model_id": model_id}) for model_id in model_ids]
        else:
            found.append((name, None, config))
    return found
