"""`cliplab registry manifest`: enter models in a folder's manifest, choose the current one, name the next version.

Workers follow it with ``CurrentModel``. The form of the file is in ``manifest_file``.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from adapters.errors import BundleError, ConfigError, StorageError
from adapters.litert import clean_description
from adapters.system import open_regular_file, write_bytes_atomic
from cliplab.registry.manifest_file import (
    Manifest,
    check_model,
    locked,
    name_problem,
    read_manifest,
    utc,
    write_manifest,
)
from cliplab.registry.manifest_metrics import best_model, described_metrics, is_figure, read_metrics

_VERSION = re.compile(r"(?P<prefix>.+)_v(?P<number>[0-9]{1,9})", re.IGNORECASE | re.DOTALL)
# A manifest with new models, the file to copy for it (None: it is in its place), what is wrong with other files.
_Entered = tuple[Manifest, tuple[Path, bytes] | None, list[str]]


@dataclass(frozen=True)
class ListedModel:
    """A model that a manifest lists.

    Attributes:
        name: Its file name.
        created: When the file was written, in UTC; None where the manifest does not say.
        metrics: Its metrics by name.
        state: "good" for a whole file, "missing" for none, "damaged" for one that is not what was written.
    """

    name: str
    created: str | None
    metrics: dict[str, Any]
    state: Literal["good", "missing", "damaged"]


@dataclass(frozen=True)
class ManifestReport:
    """A manifest after an update (with dry_run, as it would be).

    Attributes:
        path: The manifest.
        current: The model that workers use; None without models.
        previous: The current model before the update.
        models: Every listed model.
        added: Names that were not listed before.
        written: Whether the file was changed.
        problems: A sentence for each damaged or half-written file of the folder; none of them becomes current.
        next_name: The version name that was asked for.
    """

    path: str
    current: str | None
    previous: str | None
    models: tuple[ListedModel, ...]
    added: tuple[str, ...]
    written: bool
    problems: tuple[str, ...]
    next_name: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return asdict(self)


def registry_manifest(
    folder: str | Path,
    *,
    add: str | Path | None = None,
    metrics: str | Path | None = None,
    keep_best: str | None = None,
    current: str | None = None,
    next_name: str | None = None,
    dry_run: bool = False,
) -> ManifestReport:
    """Write or update folder/model_manifest.json, the list of models that workers follow with ``CurrentModel``.

    With the folder alone, every whole .tflite in it that is not listed is entered. Where neither keep_best nor current
    is given, the current model stays; of the first models entered, the newest becomes current. Keys of other programs
    are kept. Writers wait for each other; readers see the old or the new manifest, and a model's file is in place
    before the manifest names it.

    Args:
        folder: The folder of the models; with add it is made where it is missing.
        add: A .tflite to enter; it is copied into the folder if it is not there, without the path of its first weights
            that older versions wrote. The name of another file is refused.
        metrics: A JSON file with the metrics of add, see ``read_metrics``; they replace those of a listed model. None
            uses the validation metrics that the .tflite carries.
        keep_best: A metric; the whole model with the best value becomes current (see ``lower_is_better``).
        current: The name of the model that becomes current.
        next_name: A prefix, or the name of any version. With add, the model is entered under the next free version
            name; alone, that name is reported and nothing is written.
        dry_run: Report what would change, and write nothing.

    Returns:
        The manifest after the update.

    Raises:
        BundleError: The manifest is damaged (it is left as it is), or a model to enter, or the one that would be
            current, is missing, half-written or not self-describing.
        ConfigError: Arguments exclude each other, or a metric or name does not exist.
        StorageError: The folder cannot be written, or another writer does not finish.
    """
    place = Path(folder)
    only_name = next_name is not None and add is None
    if add is not None and Path(add).is_file() and not dry_run:  # the first model makes the folder
        _make_folder(place)
    _check_usage(place, add, metrics, keep_best, current, next_name)
    with contextlib.nullcontext() if dry_run or only_name else locked(place):
        before = read_manifest(place)
        name = None if next_name is None else next_version(next_name, _taken(before))
        if only_name:
            return _report(before, before, *_states(before), next_name=name)
        after, copy, problems = _enter_folder(before) if add is None else _enter(before, Path(add), name, metrics)
        pending = None if copy is None else copy[0]
        states, damaged = _states(after, pending)
        if keep_best is not None:
            after = _with_best(after, states, keep_best, None if add is None else name or Path(add).name)
        else:
            after = _with_current(before, after, current, pending)
        changed = after.document != before.document
        if changed and not dry_run:
            if copy is not None:
                write_bytes_atomic(*copy)
            write_manifest(after)
    return _report(before, after, states, problems + damaged, written=changed and not dry_run, next_name=name)


def next_version(name: str, taken: Iterable[str] = ()) -> str:
    """The next free version name: tricks_v001.tflite -> tricks_v002.tflite, tricks -> tricks_v001.tflite.

    The number has at least three digits, and as many as the longest one taken.

    Args:
        name: A prefix, or the name of any version.
        taken: Names that exist; upper and lower case are the same, as on some disks.

    Raises:
        ConfigError: The name cannot be that of a file.
    """
    own = _VERSION.fullmatch(_stem(name))
    prefix = own["prefix"] if own else _stem(name)
    problem = name_problem(f"{prefix}.tflite")
    if problem:
        raise ConfigError(f"next_name: {problem}. Give the name without its version, such as highlight_movinet_a0")
    found = [match for match in (_VERSION.fullmatch(_stem(item)) for item in (name, *taken)) if match]
    numbers = [match["number"] for match in found if match["prefix"].casefold() == prefix.casefold()]
    width = max((3, *map(len, numbers)))
    return f"{prefix}_v{max((0, *map(int, numbers))) + 1:0{width}d}.tflite"


def _stem(name: str) -> str:
    return name[: -len(".tflite")] if name.lower().endswith(".tflite") else name


def _taken(manifest: Manifest) -> set[str]:
    """Names that no new model may have: listed ones, also of files that are gone, and files that are not listed."""
    return {*manifest.names, *(path.name for path in manifest.path.parent.iterdir())}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be created ({error.strerror}). Use another folder") from error


def _check_usage(
    folder: Path,
    add: str | Path | None,
    metrics: str | Path | None,
    keep_best: str | None,
    current: str | None,
    next_name: str | None,
) -> None:
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: there is no such folder. Give the folder of models, or create one with --add X.tflite"
        )
    if metrics is not None and add is None:
        raise ConfigError("metrics belong to a model that is added. Also give add (--add X.tflite)")
    if keep_best is not None and current is not None:
        raise ConfigError("keep_best and current both choose the current model. Give only one of them")
    if next_name is not None and add is None and (keep_best or current):
        raise ConfigError(
            "next_name alone prints a name and changes nothing. Also give add, or remove the other options"
        )


def _enter(manifest: Manifest, source: Path, name: str | None, metrics: str | Path | None) -> _Entered:
    """The manifest with the model at source, under its own name or another."""
    name = source.name if name is None else name
    problem = name_problem(name)
    if problem:
        raise ConfigError(f"{source}: {problem}. Rename it, or give next_name (--next-name PREFIX)")
    check_model(source)
    figures = None if metrics is None else read_metrics(metrics)
    if figures is None and name not in manifest.names:
        figures = described_metrics(source)
    target = manifest.path.parent / name
    entered = manifest.with_model(name, utc(source.stat().st_mtime), figures)
    if target.exists() and os.path.samefile(source, target):
        return entered, None, []
    with open_regular_file(source, BundleError) as file:
        data = file.read()
    # Reads the bytes that are copied, should the file have changed since it was checked.
    clean = clean_description(data)
    if target.exists() and target.read_bytes() in (data, clean):
        return entered, None, []
    if target.exists() or name in manifest.names:
        state = "is a different file" if target.exists() else "is listed, but its file is missing"
        raise BundleError(
            f"{target}: {state}; a version is never replaced, because workers and metrics refer to it by name. "
            f"Add {source} under a new name: --next-name {_stem(name)}"
        )
    return entered, (target, clean), []


def _enter_folder(manifest: Manifest) -> _Entered:
    """The manifest with every whole .tflite of its folder, the oldest first, and what is wrong with the others."""
    found = []
    for path in manifest.path.parent.iterdir():
        if not name_problem(path.name) and path.name not in manifest.names and path.is_file():
            found.append((path.stat().st_mtime, path))
    problems: list[str] = []
    for seconds, path in sorted(found):
        try:
            check_model(path)
        except BundleError as error:
            problems.append(str(error))
            continue
        manifest = manifest.with_model(path.name, utc(seconds), described_metrics(path))
    if not manifest.names and not problems:
        folder = manifest.path.parent
        raise BundleError(
            f"{folder}: contains no .tflite, so there is nothing to list. "
            f"Add one: cliplab registry manifest {folder} --add X.tflite"
        )
    return manifest, None, problems


def _states(manifest: Manifest, pending: Path | None = None) -> tuple[tuple[ListedModel, ...], list[str]]:
    """Every listed model with the state of its file, and what is wrong with those that are damaged.

    A missing one that is not current is not a problem: old versions are deleted. pending: one that is written next.
    """
    states, problems = [], []
    for name in manifest.names:
        path, entry = manifest.path.parent / name, manifest.entry(name)
        state: Literal["good", "missing", "damaged"] = "good"
        try:
            if path != pending:
                check_model(path)
        except BundleError as error:
            state = "damaged" if path.exists() else "missing"
            if state == "damaged":
                problems.append(str(error))
        states.append(ListedModel(name, entry.get("created"), manifest.metrics(name), state))
    return tuple(states), problems


def _with_best(after: Manifest, states: Iterable[ListedModel], metric: str, added: str | None) -> Manifest:
    """The manifest with the best whole model as its current one. A model that was just added must have the metric."""
    if added is not None:
        best_model({added: after.metrics(added)}, metric, None)
    have = [item for item in states if is_figure(item.metrics.get(metric))]
    if have and all(item.state != "good" for item in have):
        lost = ", ".join(f"{item.name} ({item.state})" for item in have)
        raise BundleError(f"{after.path}: no undamaged model has the metric {metric!r}, only {lost}. Copy it again.")
    whole = {item.name: item.metrics for item in states if item.state == "good"}
    return after.with_current(best_model(whole, metric, after.current))


def _with_current(before: Manifest, after: Manifest, wanted: str | None, pending: Path | None) -> Manifest:
    """The manifest with its current model: the wanted one, otherwise its own, otherwise the newest of the new ones."""
    if wanted is not None and wanted not in after.names:
        raise ConfigError(f"current: {wanted!r} is not listed. Listed models: {', '.join(after.names) or 'none'}")
    new = [name for name in after.names if name not in before.names]
    chosen = wanted or after.current or (new[-1] if new else None)
    if chosen is None:
        if after.names:
            raise ConfigError(f"{after.path}: has no current model. Choose one: --current NAME, --keep-best METRIC")
        return after
    path = after.path.parent / chosen
    if path != pending:
        try:
            check_model(path)
        except BundleError as error:
            raise BundleError(
                f"{error} It would become current, but workers could not load it. Choose another: --current NAME or "
                "--keep-best METRIC"
            ) from error
    return after.with_current(chosen)


def _report(
    before: Manifest,
    after: Manifest,
    states: tuple[ListedModel, ...],
    problems: list[str],
    *,
    written: bool = False,
    next_name: str | None = None,
) -> ManifestReport:
    return ManifestReport(
        path=str(after.path),
        current=after.current,
        previous=before.current,
        models=states,
        added=tuple(name for name in after.names if name not in before.names),
        written=written,
        problems=tuple(problems),
        next_name=next_name,
    )
