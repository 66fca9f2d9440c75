"""`cliplab dataset advise`: what labelled clips are worth, what misleads about them, and what to label next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.base import OnProgress
from adapters.data import Dataset, Example, check_copies, dataset_problems, read_dataset
from adapters.errors import ConfigError, DatasetError, MissingExtraError
from adapters.records import Float32Array
from cliplab.datasets.advise_alike import joined
from cliplab.datasets.advise_report import AdviseReport
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from cliplab.datasets.advise_figures import AdvisedClips

# Of more classes, those with the most clips are advised on: heads of a thousand classes take minutes.
MOST_CLASSES = 100
_MOST_SEED = 2**31 - 1  # as of the config's "seed"


def dataset_advise(
    data: str | Path,
    *,
    model: str | Path | Mapping[str, Any] = "efficientnet_lite0",
    output: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> AdviseReport:
    """Say what labelled clips are worth, what misleads about them, and what to label next.

    Linear heads on the model's features are judged on groups that they never saw. The report has the accuracy by number
    of clips, the classes that are confused, labels that are likely wrong, clips that show the same, what shape, length,
    light and source alone tell of the classes, and the accuracy where clips that look alike are kept together. Nothing
    of the dataset is changed. If interrupted, what was decoded stays in the cache.

    Args:
        data: A dataset in any format that ``adapters.data.read_dataset`` reads. All splits are used together.
        model: Whose features are used: a bundle, a config file, a ready config's name, or the config itself.
        output: A folder for advise.json, advise.png, label_issues.csv, label_issues.json and proposed_groups.csv; None
            writes nothing.
        overrides: Config keys to change.
        seed: Seed of the division of the groups.
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_progress: Called with the stage's name, the steps done and the steps in all.

    Returns:
        What was found.

    Raises:
        ConfigError: A key is wrong, or the model has no backbone.
        DatasetError: The data cannot be read, has clips of fewer than two classes, or none that can be decoded.
        MissingExtraError: scikit-learn is not installed, or matplotlib where output is given.
        StorageError: The output exists, or cannot be written.
    """
    from adapters.inference import open_model
    from adapters.training import example_features
    from cliplab.datasets.advise_analysis import analyse
    from cliplab.datasets.advise_files import write_advice
    from cliplab.datasets.advise_looks import clip_looks

    if not 0 <= seed <= _MOST_SEED:
        raise ConfigError(f"seed must be a whole number (>= 0, <= {_MOST_SEED}), got {seed}")
    require_new(output, force)
    _require_packages(output is not None)
    adapter = open_model(model, overrides, trust_adapters)
    if not adapter.scores_items:
        raise ConfigError(
            f"{model}: its head uses the order of frames, but advice trains heads that score each frame or "
            "clip separately. Use another model, such as efficientnet_lite0"
        )
    dataset, notes = _usable(read_dataset(data), adapter.config["task"] == "multi_label")
    exclusive = adapter.config["task"] == "single_label" and all(len(item.labels) == 1 for item in dataset)
    problems = dataset_problems(dataset, task="single_label" if exclusive else "multi_label")
    copies = check_copies(dataset, exclusive)
    found = example_features(adapter, dataset.examples, on_progress)
    seen, looks = clip_looks(found.examples, on_progress)
    places = {example.key(): row for row, example in enumerate(found.examples)}
    skipped = [reason for _, reason in found.skipped]
    without_looks = set(found.examples) - set(seen)
    skipped += [f"{item.path}: cannot be decoded" for item in found.examples if item in without_looks]
    report = analyse(
        _advised(dataset, seen, found.features[[places[item.key()] for item in seen]], exclusive, copies.groups),
        seen,
        looks,
        data=str(data),
        model=adapter.config["name"] or str(model),
        skipped=skipped,
        problems=[*problems, *copies.problems],
        notes=notes,
        seed=seed,
        on_progress=on_progress,
    )
    if output is not None:
        report = replace(report, output=str(output))
        write_advice(report, dataset, Path(output))
    return report


def _require_packages(picture: bool) -> None:
    from importlib.util import find_spec

    for module, name in (("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")):
        if find_spec(module) is None and (picture or module == "sklearn"):
            raise MissingExtraError(name, "learn")


def _advised(
    dataset: Dataset,
    examples: Sequence[Example],
    features: Float32Array,
    exclusive: bool,
    same_files: Sequence[Sequence[Path]],
) -> AdvisedClips:
    """Clips that could be read as heads see them, identical files in one group, as for training."""
    from cliplab.datasets.advise_figures import AdvisedClips, compact

    labels = tuple(label for label in dataset.labels if any(label in item.labels for item in examples))
    if len(labels) < 2:
        raise DatasetError(
            f"{dataset.root}: the {len(examples)} clips that can be read are all of {', '.join(map(repr, labels))}. "
            "Repair or add clips of another class"
        )
    groups = np.unique([example.group for example in examples], return_inverse=True)[1].reshape(-1)
    first_row: dict[int, int] = {}
    file_number = {path: number for number, paths in enumerate(same_files) for path in paths}
    pairs = []
    for row, example in enumerate(examples):
        if (number := file_number.get(example.path)) is not None:
            pairs.append((first_row.setdefault(number, row), row))
    return AdvisedClips(
        tuple(_name(example, dataset.root) for example in examples),
        labels,
        np.array([[label in example.labels for label in labels] for example in examples], bool),
        exclusive,
        joined(groups, pairs),
        compact(features),
    )


def _usable(dataset: Dataset, multi_label: bool) -> tuple[Dataset, list[str]]:
    """The clips that advice can be given on, and what to know of those that are left out."""
    notes = [*dataset.notes]
    several = multi_label or any(len(item.labels) > 1 for item in dataset)
    kept = [item for item in dataset if item.labels or several]
    if several and not multi_label:
        notes.append(
            "some clips have several labels: each label is judged separately, and a clip is right if all its labels are"
        )
    if len(kept) < len(dataset):
        notes.append(f"{len(dataset) - len(kept)} clips without a label are left out")
    counts = replace(dataset, examples=tuple(kept)).counts()
    used = [label for label, count in counts.items() if count]
    if len(used) < 2:
        held = f"{used[0]!r} ({counts[used[0]]})" if used else "none"
        raise DatasetError(f"{dataset.root}: advice needs clips of two classes or more; there are clips of {held}")
    if len(used) > MOST_CLASSES:
        largest = set(sorted(used, key=lambda label: -counts[label])[:MOST_CLASSES])
        notes.append(
            f"{len(used)} classes: the analysis covers the {MOST_CLASSES} with the most clips and ignores the others"
        )
        kept = [replace(item, labels=tuple(name for name in item.labels if name in largest)) for item in kept]
        kept = [item for item in kept if item.labels]
        used = [label for label in used if label in largest]
    return replace(dataset, examples=tuple(kept), labels=tuple(used)), notes


def _name(example: Example, root: Path) -> str:
    """A clip for a message: its path below the dataset's folder, and its start where it has one."""
    path = example.path.relative_to(root) if example.path.is_relative_to(root) else example.path
    return str(path) + ("" if example.start_seconds is None else f" at {example.start_seconds:g} s")
