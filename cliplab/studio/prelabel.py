"""`cliplab label auto`: a model scores every item; sure ones become pre-labels, the others are queued for review."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import OnProgress
from adapters.data import spelling_key
from adapters.errors import ConfigError, DatasetError
from adapters.system import quoted_list, write_json_atomic
from cliplab.outputs import require_new
from cliplab.studio.item_clips import all_items, example_of, model_name, open_for_items
from cliplab.studio.queries import ItemRow
from cliplab.studio.review_order import QUEUE, review_order
from cliplab.studio.score_journal import ScoreJournal, journal_path

if TYPE_CHECKING:
    from adapters.base import BaseModelAdapter
    from cliplab.studio.store import LabelStore

# A model of more classes scores all of them, and the store keeps the best of each item.
_KEPT_SCORES = 20
_MOST_NEW_CLASSES = 100


@dataclass(frozen=True)
class PreLabel:
    """What the model says of an item.

    Attributes:
        item: Its number.
        path: Its file, as the store has it.
        start_seconds: Where it begins; None: at the start, or a picture.
        end_seconds: Where it ends; None: at the end.
        label: The best class.
        score: Its score in 0..1.
    """

    item: int
    path: str
    start_seconds: float | None
    end_seconds: float | None
    label: str
    score: float


@dataclass(frozen=True)
class PrelabelReport:
    """What ``label_auto`` did.

    Attributes:
        data_dir: The studio's folder.
        model: What the store calls the model.
        threshold: Scores from here on are pre-labels.
        pre_labels: The items at or above the threshold, in their order.
        review: The items below it, in the order of review.
        labelled: How many items people had labelled already; those are scored and keep their labels.
        failed: Items that could not be read or scored: path and reason.
        notes: What a reader should know, in sentences.
        output: The file that was written; None: none.
    """

    data_dir: str
    model: str
    threshold: float
    pre_labels: tuple[PreLabel, ...]
    review: tuple[PreLabel, ...]
    labelled: int
    failed: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    output: str | None = None
    classes: tuple[str, ...] = field(default=())

    def to_json(self, base: Path | None = None) -> dict[str, Any]:
        """The JSON object that pre_labels.json holds.

        Args:
            base: The folder that paths are relative to where they are below it; None: the studio's.
        """
        folder = Path(self.data_dir)

        def row(one: PreLabel) -> dict[str, Any]:
            path = os.path.normpath(folder / one.path)
            root = str(folder if base is None else base)
            shown = os.path.relpath(path, root) if path.startswith(root.rstrip(os.sep) + os.sep) else path
            return {
                "path": os.fsencode(shown).decode("utf-8", "backslashreplace"),
                "start_seconds": one.start_seconds,
                "end_seconds": one.end_seconds,
                "label": one.label,
                "score": round(one.score, 4),
                "annotator": f"model:{self.model}",
                "item": one.item,
            }

        return {
            "model": self.model,
            "threshold": self.threshold,
            "classes": list(self.classes),
            "pre_labels": [row(one) for one in self.pre_labels],
            "review": [row(one) for one in self.review],
            "labelled_by_people": self.labelled,
            "failed": [
                {"path": os.fsencode(path).decode("utf-8", "backslashreplace"), "error": reason}
                for path, reason in self.failed
            ],
            "notes": list(self.notes),
        }


def label_auto(
    model: str | Path,
    data_dir: str | Path,
    *,
    output: str | Path | None = None,
    threshold: float = 0.8,
    overrides: Mapping[str, Any] | None = None,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> PrelabelReport:
    """Have a model label the items of a studio, or of a folder of frames or clips, which becomes one.

    The scores are kept in the folder's labels.db. Items whose best score is at least the threshold are pre-labels of
    the annotator "model:NAME", which never count as a person's label; the others are queued for review, the uncertain
    and different ones first. If interrupted, run it again to resume.

    Args:
        model: A bundle, a .tflite, a config file, or a ready config's name.
        data_dir: The folder.
        output: Where the pre-labels go, as JSON; None: in labels.db only.
        threshold: From 0 to 1.
        overrides: Config keys to change.
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_progress: Called with the stage's name, the items done and the items in all.

    Returns:
        What was scored.

    Raises:
        ConfigError: The threshold is out of range, or the model cannot be opened or knows none of the classes.
        DatasetError: The folder is missing or holds nothing to label, or nothing in it can be read.
        StorageError: The output exists, or something cannot be written.
    """
    from cliplab.studio.items import fill_items
    from cliplab.studio.store import open_store

    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be a number from 0 to 1, got {threshold!r}")
    require_new(output, force)
    folder = Path(data_dir)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder. Give the folder of your frames, clips or videos")
    with open_store(folder) as store:
        found = fill_items(store, (), on_progress)
        report = prelabel(store, model, threshold, dict(overrides or {}), trust_adapters, on_progress)
    unreadable = [(path, reason) for path, _, reason in (sentence.partition(": ") for sentence in found.unreadable)]
    report = replace(report, failed=(*unreadable, *report.failed))
    if output is not None:
        path = Path(output)
        write_json_atomic(path, report.to_json(path.absolute().parent))
        report = replace(report, output=str(path))
    return report


def prelabel(
    store: LabelStore,
    model: str | Path,
    threshold: float = 0.8,
    overrides: dict[str, Any] | None = None,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> PrelabelReport:
    """Score the items of an open store; see ``label_auto``.

    Args:
        store: The label store; its items are as they are.
        model: As for ``label_auto``.
        threshold: As for ``label_auto``.
        overrides: As for ``label_auto``.
        trust_adapters: As for ``label_auto``.
        on_progress: As for ``label_auto``.

    Raises:
        ConfigError: As ``label_auto``.
        DatasetError: There is nothing to label, or nothing can be read.
        StorageError: The store cannot be written.
    """
    items = list(all_items(store))
    usable = [item for item in items if item.missing is None]
    if not usable:
        gone = f"; the files of {len(items)} items are missing" if items else ""
        raise DatasetError(
            f"{store.folder}: there is nothing to label{gone}. Add frames, clips or videos to the folder"
        )
    adapter = open_for_items(model, usable, overrides, trust_adapters)
    name = model_name(adapter, model)
    classes, notes = _shared_classes(store, adapter, model)
    failed = [(item.path, "the file is missing or was replaced") for item in items if item.missing is not None]
    scored = dict(_scored(store, adapter, model, usable, failed, on_progress))
    if not scored:
        raise DatasetError(f"none of {len(usable)} items can be scored; the first: {failed[0][0]}: {failed[0][1]}")
    columns = list(classes)
    kept = {number: [scores[column] for column in columns] for number, scores in scored.items()}
    names = [classes[column] for column in columns]
    store.set_scores(name, _best_rows(kept, names))
    order, note = review_order(store, adapter, usable, kept, on_progress)
    best = {item.id: _prelabel(item, kept[item.id], names) for item in usable if item.id in kept}
    review = [best[number] for number in order if best[number].score < threshold]
    sure = [best[number] for number in sorted(order) if best[number].score >= threshold]
    store.set_queue(QUEUE, order)
    return PrelabelReport(
        str(store.folder),
        name,
        threshold,
        tuple(sure),
        tuple(review),
        len(best) - len(order),
        tuple(failed),
        tuple([*notes, note] if note else notes),
        classes=tuple(names),
    )


def _prelabel(item: ItemRow, scores: Sequence[float], names: Sequence[str]) -> PreLabel:
    top = max(range(len(names)), key=lambda column: scores[column])
    return PreLabel(item.id, item.path, item.start_seconds, item.end_seconds, names[top], float(scores[top]))


def _best_rows(kept: Mapping[int, Sequence[float]], names: Sequence[str]) -> Iterator[tuple[int, str, float]]:
    for number, scores in kept.items():
        columns = sorted(range(len(names)), key=lambda column: -scores[column])[:_KEPT_SCORES]
        for column in columns:
            yield number, names[column], min(max(float(scores[column]), 0.0), 1.0)


def _shared_classes(
    store: LabelStore, adapter: BaseModelAdapter, model: str | Path
) -> tuple[dict[int, str], list[str]]:
    """Places of the model's labels that are classes of the studio, with their names there, and notes."""
    known = [one.name for one in store.classes()]
    labels = list(adapter.labels)
    notes: list[str] = []
    if not known and len(labels) <= _MOST_NEW_CLASSES:
        store.set_classes(labels)
        note = f"the studio had no classes: it now has the model's {len(labels)}"
        return dict(enumerate(_as_stored(store, labels))), [note]
    if not known:
        note = f"the model's {len(labels)} classes are too many for the studio. Give your classes: --labels"
        return dict(enumerate(labels)), [note]
    with store.reading() as connection:
        former = dict(connection.execute("SELECT alias, name FROM class_aliases"))
    by_spelling = {spelling_key(old): new for old, new in former.items() if new in known}
    by_spelling |= {spelling_key(name): name for name in known}
    found: dict[int, str] = {}
    for column, label in enumerate(labels):
        name = by_spelling.get(spelling_key(label))
        if name is not None and name not in found.values():
            found[column] = name
    if not found:
        raise ConfigError(
            f"{model}: its classes are {quoted_list(labels)}, and those of {store.folder} are {quoted_list(known)}: "
            "they have none in common. Train a model on your labels, or rename the classes"
        )
    unknown = [name for name in known if name not in found.values()]
    if unknown:
        notes.append(f"the model does not know {quoted_list(unknown)}: it cannot pre-label them")
    if len(found) < len(labels):
        others = [label for column, label in enumerate(labels) if column not in found]
        notes.append(f"of the model's classes, {quoted_list(others)} are not classes of the studio and are left out")
    return found, notes


def _as_stored(store: LabelStore, labels: Sequence[str]) -> list[str]:
    """Labels in the spelling that the store has."""
    by_spelling = {spelling_key(one.name): one.name for one in store.classes()}
    return [by_spelling.get(spelling_key(label), label) for label in labels]


def _scored(
    store: LabelStore,
    adapter: BaseModelAdapter,
    model: str | Path,
    items: Sequence[ItemRow],
    failed: list[tuple[str, str]],
    on_progress: OnProgress | None,
) -> Iterator[tuple[int, list[float]]]:
    """Number and scores of each item; what cannot be scored is added to ``failed``."""
    from adapters.inference import predict_examples

    with ScoreJournal(journal_path(adapter, model), len(adapter.labels)) as journal:
        todo = []
        for item in items:
            scores = journal.get(item)
            if scores is None:
                todo.append(item)
            else:
                yield item.id, scores
        done = len(items) - len(todo)
        if on_progress is not None:
            on_progress("scores", done, len(items))
        results = predict_examples(adapter, [example_of(store, item) for item in todo])
        for item, result in zip(todo, results, strict=True):
            done += 1
            if result.error is not None or not result.predictions:
                failed.append((item.path, result.error or "the model gave no scores"))
            else:
                scores = [float(score) for score in result.predictions[0].scores]
                journal.add(item, scores)
                yield item.id, scores
            if on_progress is not None:
                on_progress("scores", done, len(items))


__all__ = ["PreLabel", "PrelabelReport", "label_auto", "prelabel"]
