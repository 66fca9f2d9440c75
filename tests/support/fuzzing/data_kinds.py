"""Label files from elsewhere, in every format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzzing.case import Kind, Run, outcome, random_of
from fuzzing.mutators import TEXT, mutate

ROWS = [
    {"path": f"{label}{number}.mp4", "label": label, "split": split, "start_seconds": 0.5, "end_seconds": 2.0}
    for label in ("walk", "run")
    for number, split in enumerate(("train", "train", "validation", "test"))
]


@contextmanager
def labels(folder: Path) -> Iterator[Run]:
    from adapters.data import check_dataset, dataset_problems, export_dataset, read_dataset, summarize_dataset

    source = folder / "source" / "labels.jsonl"
    source.parent.mkdir()
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for row in ROWS:
        (source.parent / str(row["path"])).write_bytes(b"a video")
    dataset = read_dataset(source)
    names = {"csv": "labels.csv", "coco": "annotations.json", "labels_json": "labels.json", "jsonl": "labels2.jsonl"}
    files = [export_dataset(dataset, source.parent / name, kind) for kind, name in names.items()]
    files = [Path(path) for path in files] + [source]
    sound = {path: path.read_bytes() for path in files}

    def read(path: Path) -> None:
        found = read_dataset(path)
        summarize_dataset(found)
        dataset_problems(found)
        check_dataset(found, found.labels)

    def run(seed: int) -> str:
        random = random_of("labels", seed)
        path = random.choice(files)
        target = path.with_name(f"case{path.suffix}")
        target.write_bytes(mutate(random, sound[path], TEXT, [sound[path]], random.choice((1, 1, 8))))
        return outcome(lambda: read(target))

    try:
        yield run
    finally:
        shutil.rmtree(source.parent)


KINDS = {"labels": Kind(200, labels)}
