"""The members of an ensemble: opened, their labels brought into one order, and one decoding that serves all of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adapters.base import BaseModelAdapter
from adapters.bundle import SEAL
from adapters.config import Config
from adapters.errors import ConfigError
from adapters.media import EPSILON_SECONDS, Window, decode_size, fill_clip, sample_times, window_seconds
from adapters.records import Clip, InputSpec
from adapters.system import did_you_mean

RUNTIME_KEYS = ("num_threads", "device")  # of the ensemble's config, handed on to every member
_MOST_ENTRIES = 10_000  # of a folder, that are looked through for a similar name
_SAME_TIMES = ("sampling", "n_frames", "fps", "short_clip", "sampling_tolerance_seconds")
_SAME_PICTURE = ("height", "width", "aspect", "crop_fraction")


@dataclass(frozen=True, eq=False)
class Member:
    """A member of an ensemble.

    Attributes:
        name: Its name in the config.
        source: Where it was found: a path or a ready config's name.
        adapter: The opened model.
        columns: intp [C], the columns of its scores in the order of the ensemble's labels.
    """

    name: str
    source: str | Path
    adapter: BaseModelAdapter
    columns: npt.NDArray[np.intp]


def open_members(
    config: Config, folder: Path | None, trust_adapters: Sequence[str] = ()
) -> tuple[list[Member], Config]:
    """Open the members.

    Args:
        config: The ensemble's complete config.
        folder: Where relative names are looked for first; then the current folder, then the ready configs.
        trust_adapters: As for ``open_model``.

    Returns:
        The members, and the config with labels, task and positive_label filled in.

    Raises:
        ConfigError: A member is missing, or labels or tasks do not agree.
        BundleError: A member is damaged.
        WeightsError: A member's weights cannot be found.
    """
    from adapters.inference import open_model

    runtime = {key: config[key] for key in RUNTIME_KEYS if config[key] not in (None, "cpu")}
    sources = [find_member(name, folder) for name in config["members"]]
    adapters = [open_model(source, runtime, trust_adapters) for source in sources]
    labels = tuple(config["labels"] or adapters[0].labels)
    for name, adapter in zip(config["members"], adapters, strict=True):
        if adapter.votes:
            raise ConfigError(f"member {name!r} is itself an ensemble. List its members instead")
        _check_labels(name, adapter, labels, config)
    filled = {**config, "labels": list(labels), "task": _agreed("task", config, adapters)}
    filled["positive_label"] = config["positive_label"] or _agreed("positive_label", config, adapters)
    members = [
        Member(name, source, adapter, np.array([adapter.labels.index(label) for label in labels], np.intp))
        for name, source, adapter in zip(config["members"], sources, adapters, strict=True)
    ]
    return members, filled


def member_path(folder: Path, name: str) -> Path | None:
    """A member's file or folder.

    Args:
        folder: Where a relative name is looked for.
        name: Its name or path, with or without ".tflite".

    Returns:
        The path; None if there is nothing of this name.
    """
    path = folder / Path(name).expanduser()
    try:
        return next((found for found in (path, path.with_name(f"{path.name}.tflite")) if found.exists()), None)
    except (OSError, ValueError):  # a name that no file can have
        return None


def find_member(name: str, folder: Path | None) -> str | Path:
    """Where a member is.

    Args:
        name: Its name or path, with or without ".tflite", or a ready config's name.
        folder: Where a relative name is looked for first; then the current folder, then the ready configs.

    Returns:
        Its path, or the name of the ready config.

    Raises:
        ConfigError: There is nothing of this name; the message has the nearest one.
    """
    from adapters.inference import ready_configs

    folders = [Path()] if folder is None or Path(name).is_absolute() else [folder, Path()]
    for place in folders:
        if (found := member_path(place, name)) is not None:
            return found
    if name in ready_configs():
        return name
    places = " and ".join(dict.fromkeys(str((place / name).absolute()) for place in folders))
    known = [model for place in folders for model in _models_in(place)]
    raise ConfigError(
        f"member {name!r} of the ensemble does not exist: looked for {places}, and no ready config has this "
        f"name.{did_you_mean(name, [*known, *ready_configs()])} Members are bundle directories, .tflite files, config "
        "files and ready configs; cliplab train makes them"
    )


def _models_in(folder: Path) -> list[str]:
    """Names in a folder that a member may have: bundles, and .tflite files with and without their ending."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in itertools.islice(entries, _MOST_ENTRIES):
                if entry.name.endswith(".tflite"):
                    found += [entry.name, entry.name.removesuffix(".tflite")]
                elif entry.is_dir() and (Path(entry.path) / SEAL).is_file():
                    found.append(entry.name)
    except OSError:
        return []
    return found


def _check_labels(name: str, adapter: BaseModelAdapter, labels: tuple[str, ...], config: Config) -> None:
    """ConfigError where a member knows other labels than the ensemble; their order may differ."""
    own = adapter.labels
    if set(own) == set(labels):
        return
    missing, extra = sorted(set(labels) - set(own)), sorted(set(own) - set(labels))
    says = [f"{', '.join(map(repr, missing[:5]))} missing"] if missing else []
    says += [f"{', '.join(map(repr, extra[:5]))} extra"] if extra else []
    whose = '"labels" of the config' if config["labels"] else f"member {config['members'][0]!r}"
    raise ConfigError(
        f"member {name!r} has other labels than {whose}: {' and '.join(says)}. Members vote on the same labels: "
        "train them with the same ones, in any order"
    )


def _agreed(key: str, config: Config, adapters: Sequence[BaseModelAdapter]) -> object:
    """What the members' configs say for a key, where those that say anything say the same."""
    found = {adapter.config[key] for adapter in adapters} - {None}
    if len(found) > 1:
        each = ", ".join(f"{n}: {a.config[key]!r}" for n, a in zip(config["members"], adapters, strict=True))
        hint = "Set it in the ensemble's config" if key == "positive_label" else "Members must have the same task"
        raise ConfigError(f'members differ in "{key}" ({each}). {hint}')
    return next(iter(found), None)


# One decoding ---------------------------------------------------------------------------------------------------------


def shared_spec(members: Sequence[Member], config: Config) -> InputSpec:
    """What media must deliver so that every member finds its frames.

    Members of the same size, aspect and moments receive exactly the frames that they would receive alone. Otherwise
    frames come in the video's shape, large enough for the largest member, and a window holds the moments of all.

    Args:
        members: The members.
        config: The ensemble's complete config.

    Raises:
        ConfigError: The members' windows do not agree.
    """
    specs = [member.adapter.input_spec for member in members]
    names = [member.name for member in members]
    window, stride = _windows(names, specs, config)
    first = specs[0]
    picture = {key: getattr(first, key) for key in _SAME_PICTURE}
    if any(_values(spec, _SAME_PICTURE) != _values(first, _SAME_PICTURE) for spec in specs):
        sides = [decode_size(spec, spec.width, spec.height) for spec in specs]
        picture = {"height": max(s[1] for s in sides), "width": max(s[0] for s in sides), "aspect": "crop"}
    if all(spec.sampling == "every" and spec.fps == first.fps for spec in specs):
        return InputSpec(
            **picture,
            n_frames=min(spec.n_frames for spec in specs),
            sampling="every",
            fps=first.fps,
            window_seconds=window,
            stride_seconds=stride,
            sampling_tolerance_seconds=min(spec.sampling_tolerance_seconds for spec in specs),
        )
    if all(_values(spec, _SAME_TIMES) == _values(first, _SAME_TIMES) for spec in specs):
        times = {key: getattr(first, key) for key in _SAME_TIMES}
        return InputSpec(**picture, **times, window_seconds=window, stride_seconds=stride)
    _check_mixed(names, specs, window)
    frames = sum(
        len(sample_times(spec, 0.0, window)) if spec.sampling == "every" and window else spec.n_frames for spec in specs
    )
    parts = tuple(specs)
    return InputSpec(**picture, n_frames=frames, window_seconds=window, stride_seconds=stride, parts=parts)


def member_clip(clip: Clip, member: Member, spec: InputSpec) -> Clip:
    """The frames of a shared clip that a member would receive alone, by their times.

    A model of single frames receives a clip of one frame as it is, rather than that frame several times.

    Args:
        clip: A clip sampled by ``shared_spec``.
        member: The member.
        spec: The shared spec.
    """
    if not spec.parts or (len(clip.frames) == 1 and member.adapter.scores_frames):
        return clip
    part = member.adapter.input_spec
    if part.short_clip == "error":  # refused where the clip was read
        part = replace(part, short_clip="repeat_last")
    moments = sample_times(part, clip.start, clip.end)
    shown = np.maximum(np.searchsorted(clip.times, moments + EPSILON_SECONDS, side="right") - 1, 0)
    window = Window(clip.start, clip.end, moments)
    kept, times = fill_clip(part, window, clip.times[shown].tolist(), None, clip.source)
    return Clip(clip.frames[shown[kept]], times, clip.source, clip.start, clip.end)


def _values(spec: InputSpec, keys: Sequence[str]) -> list[object]:
    return [getattr(spec, key) for key in keys]


def _windows(names: Sequence[str], specs: Sequence[InputSpec], config: Config) -> tuple[float | None, float | None]:
    """The config's windows, else those that all members have."""
    window, stride = config["window_seconds"], config["stride_seconds"]
    if window is not None:
        return window, stride
    windowed = [spec.window_seconds is not None or spec.stride_seconds is not None for spec in specs]
    own = [
        (window_seconds(spec) if has else None, spec.stride_seconds) for spec, has in zip(specs, windowed, strict=True)
    ]
    if len(set(own)) > 1:
        each = ", ".join(
            f"{name}: {'the whole video' if length is None else f'{length:g} s'}"
            for name, (length, _) in zip(names, own, strict=True)
        )
        raise ConfigError(
            f'members look at windows of different lengths ({each}). Set "window_seconds" of the ensemble, e.g. 10'
        )
    return own[0]


def _check_mixed(names: Sequence[str], specs: Sequence[InputSpec], window: float | None) -> None:
    for name, spec in zip(names, specs, strict=True):
        if window is None and spec.sampling == "every":
            raise ConfigError(
                f"member {name!r} uses every frame of a video, at {spec.fps:g} per second, but others do not. Set "
                '"window_seconds" of the ensemble, e.g. 10, so that all members score the same windows'
            )
        length = spec.n_frames / spec.fps if spec.sampling == "rate" and spec.fps else 0.0
        if window is not None and length > window + EPSILON_SECONDS:
            raise ConfigError(
                f"member {name!r} uses {spec.n_frames} frames at {spec.fps:g} per second, {length:g} s, but the "
                f'windows of the ensemble are {window:g} s. Set "window_seconds" to at least {length:g}'
            )
