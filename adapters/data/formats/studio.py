"""The data folder of a studio: its label store as a dataset. `cliplab/studio/schema.sql` describes the tables."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from adapters.data.examples import SPLITS, Dataset, Example, PreparedFrames, Split, first_seen
from adapters.data.formats.format import Format
from adapters.data.label_sets import parted_labels
from adapters.data.rows import video_groups
from adapters.errors import DatasetError
from adapters.system import check_regular_file

FILE_NAME = "labels.db"
APPLICATION_ID = 0x636C7374  # of cliplab/studio/database.py
VERSION = 1  # of the tables that are read here
IMPORTED = "imported"  # the annotator of labels that came from a file
# Where people's edges differ by less, what lies between is not a clip.
LEAST_SECONDS = 0.04
Span = tuple[float, float, str]


def import_studio(path: str | Path, labels: Sequence[str] | None = None) -> Dataset:
    """Read the labels of a studio. Each item has the adjudicated label, otherwise that of most people.

    A labelled frame or picture is a clip of one picture. An interval of a video is a clip with start and end; where
    several people labelled a video, each moment has the label that most of them gave it. An item of several classes is
    a clip with several labels, one of none of the classes a clip without a label. Items that nobody labelled, of which
    people disagree half and half, or whose files are gone or were replaced, are left out, which a note says.

    Args:
        path: ``labels.db``, which may be in use.
        labels: The order of the classes; None: that of the studio.

    Raises:
        DatasetError: It is not a studio's store, is damaged, of a newer version, or has no labels.
    """
    path = Path(path)
    folder = Path(os.path.abspath(path)).parent
    with _opened(path) as connection:
        items = connection.execute(
            "SELECT id, kind, path, start_seconds, end_seconds, group_name, source, split, missing FROM items"
        ).fetchall()
        resolved, ties = _resolved(connection)
        spans = _intervals(connection)
        classes = [row[0] for row in connection.execute("SELECT name FROM classes ORDER BY retired, position, name")]
        retired = {row[0] for row in connection.execute("SELECT name FROM classes WHERE retired")}
    examples: list[Example] = []
    grouped: list[bool] = []
    missing = 0
    for number, kind, stored, start, end, group, source, split, lost in items:
        found = [(start, end, resolved[number])] if number in resolved else []
        found += spans.get(number, [])
        if lost is not None:
            missing += bool(found)
            continue
        file = folder / os.fsdecode(stored)
        for begin, finish, label in found:
            examples.append(_example(kind, file, (begin, finish), label, group, source, split))
            grouped.append(bool(group))
    groups = video_groups(examples, grouped)
    together = tuple(one.regrouped(group, one.labels) for one, group in zip(examples, groups, strict=True))
    used = set(first_seen(together))
    order = labels if labels is not None else [name for name in classes if name in used or name not in retired]
    notes = [f"{folder}: {missing:,} labelled items are left out, since their files were removed or replaced"] * (
        missing > 0
    )
    notes += [
        f"{folder}: {ties:,} items are left out, since annotators disagree on them. Review them in the studio"
    ] * (ties > 0)
    if not examples:
        left = f" ({'; '.join(notes)})" if notes else ""
        raise DatasetError(
            f"{path}: contains no clips: none of its {len(items):,} items has a label of a person{left}. Label some "
            f"or confirm what a model suggested: cliplab studio {folder}"
        )
    return Dataset(together, tuple(order), folder, tuple(notes))


def _example(
    kind: str, file: Path, span: tuple[float | None, float | None], label: str, group: str, source: str, split: Any
) -> Example:
    start, end = (None, None) if kind == "frame" else span
    return Example(
        path=file,
        labels=parted_labels(label),
        start_seconds=start,
        end_seconds=end,
        split=cast(Split, split) if split in SPLITS else None,
        group=group,
        source=source,
        frames=PreparedFrames(file.parent, (file.name,), 1.0) if kind == "frame" else None,
    )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        check_regular_file(path, DatasetError)
        with closing(_connection(path)) as connection:
            [(kind,)] = connection.execute("PRAGMA application_id").fetchall()
            [(version,)] = connection.execute("PRAGMA user_version").fetchall()
            if kind != APPLICATION_ID:
                raise DatasetError(
                    f"{path}: is a database of another program, not of a studio. Give the studio's folder."
                )
            if version > VERSION:
                raise DatasetError(
                    f"{path}: was written by a newer cliplab (its version is {version}, this one reads up to "
                    f"{VERSION}). Install the newer cliplab."
                )
            connection.execute("BEGIN")  # all that is read is of one moment
            yield connection
    except sqlite3.Error as error:
        raise DatasetError(
            f"{path}: could not be read as the labels of a studio ({error}). Open the studio, which says what to do."
        ) from None
    except OSError as error:
        raise DatasetError(f"{path}: could not be read ({error.strerror}).") from None


def _connection(path: Path) -> sqlite3.Connection:
    """A connection for reading; of a file alone where its folder does not let SQLite make the files beside it."""
    address = Path(os.path.abspath(path)).as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=10)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        return connection
    except sqlite3.OperationalError:
        connection.close()
        if os.path.exists(f"{path}-wal"):
            raise
        return sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True)


def _resolved(connection: sqlite3.Connection) -> tuple[dict[int, str], int]:
    """The label of each item, and of how many items people disagree half and half."""
    votes: dict[int, dict[str, str]] = {}
    for item, annotator, label in connection.execute("SELECT item, annotator, label FROM current_labels"):
        votes.setdefault(item, {})[annotator] = label
    found: dict[int, str] = dict(connection.execute("SELECT item, label FROM current_reviews").fetchall())
    ties = 0
    for item, given in votes.items():
        if item in found:
            continue
        label = majority(given)
        if label is None:
            ties += 1
        else:
            found[item] = label
    return found, ties


def majority(votes: Mapping[str, str]) -> str | None:
    """The label that more people gave than any other; None where two are given by as many.

    Args:
        votes: The label of each annotator. That of a file counts only where no person gave one.
    """
    people = {who: label for who, label in votes.items() if who != IMPORTED} or votes
    ranked = Counter(people.values()).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _intervals(connection: sqlite3.Connection) -> dict[int, list[Span]]:
    """The labelled stretches of each video."""
    found: dict[int, dict[str, list[Span]]] = {}
    for item, annotator, start, end, label in connection.execute(
        "SELECT item, annotator, start_seconds, end_seconds, label FROM current_intervals "
        "ORDER BY item, start_seconds, end_seconds, id"
    ):
        found.setdefault(item, {}).setdefault(annotator, []).append((start, end, label))
    return {item: agreed_spans(people) for item, people in found.items()}


def agreed_spans(people: Mapping[str, Sequence[Span]]) -> list[Span]:
    """One set of stretches from those of several people: each moment has the label of more than half of them.

    Args:
        people: By annotator, start, end and label of stretches in the order of their starts. Those of a file count only
            where no person labelled the video.

    Returns:
        Those of the only annotator as they are; otherwise the stretches of one label without a gap.
    """
    counted = {who: spans for who, spans in people.items() if who != IMPORTED} or people
    if len(counted) == 1:
        return list(next(iter(counted.values())))
    edges = sorted({edge for spans in counted.values() for start, end, _ in spans for edge in (start, end)})
    starts = {edge: number for number, edge in enumerate(edges)}
    votes = [Counter[str]() for _ in edges]
    for spans in counted.values():
        for place, label in {
            (place, label) for start, end, label in spans for place in range(starts[start], starts[end])
        }:
            votes[place][label] += 1
    merged: list[Span] = []
    for start, end, given in zip(edges, edges[1:], votes, strict=False):
        label, count = given.most_common(1)[0] if given else ("", 0)
        if 2 * count <= len(counted):
            continue
        if merged and merged[-1][1:] == (start, label):
            merged[-1] = (merged[-1][0], end, label)
        else:
            merged.append((start, end, label))
    return [span for span in merged if span[1] - span[0] >= LEAST_SECONDS]


FORMAT = Format(import_studio, suffixes=(".db",), file_name=FILE_NAME)
