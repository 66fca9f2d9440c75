"""What a scan's store holds, as predictions, for those who look at scores again without decoding."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from adapters.bundle import model_digest
from adapters.errors import ConfigError
from adapters.inference import open_model
from adapters.records import Prediction
from cliplab.scan.score_rows import unpack
from cliplab.scan.store_file import storage_errors
from cliplab.scan.store_schema import APPLICATION_ID

_SQLITE_HEADER = b"SQLite format 3\0"
_COLUMNS = "path, duration, classes, spans, scores.scores, error, warnings"


def is_store(path: str | Path) -> bool:
    """Whether a file is the store of a scan.

    Args:
        path: Any path.
    """
    place = Path(path)
    if not place.is_file():
        return False
    with place.open("rb") as file:
        head = file.read(72)
    return head.startswith(_SQLITE_HEADER) and head[68:72] == APPLICATION_ID.to_bytes(4, "big")


def stored_predictions(
    store: str | Path, model: str | Path, trust_adapters: Sequence[str] = ()
) -> Iterator[Prediction]:
    """The scores that a scan stored for a model, as predictions; the store is only read.

    Args:
        store: A scan's store, such as scan.db.
        model: The model that the library was scanned with.
        trust_adapters: Adapters of other packages that the model may name.

    Yields:
        A prediction for each window or frame, by video and time. ``source`` is the video's path.

    Raises:
        ConfigError: The store has no scores of this model.
        StorageError: The store cannot be read.
    """
    labels = tuple(open_model(str(model), trust_adapters=trust_adapters).labels)
    place, digest = str(Path(store).resolve()), model_digest(model)
    with storage_errors(place):
        connection = sqlite3.connect(f"{Path(place).as_uri()}?mode=ro", uri=True)
        try:
            runs = [
                number
                for number, key in connection.execute("SELECT id, key FROM runs ORDER BY id")
                if json.loads(key).get("model") == digest
            ]
            if not runs:
                raise ConfigError(
                    f"{store}: has no scores of {Path(model).name}. Scan with this model first: cliplab scan {model} "
                    f"LIBRARY --store {store}"
                )
            query = (
                f"SELECT {_COLUMNS} FROM files JOIN scores ON scores.fingerprint = files.fingerprint "
                "WHERE scores.run = ? AND scores.error IS NULL ORDER BY path"
            )
            # The latest run: a model that was scanned with two samplings counts once.
            for row in connection.execute(query, (runs[-1],)):
                path, found = unpack(row)
                if found.spans is None or found.scores is None:
                    continue
                for (start, end), scores in zip(found.spans.tolist(), found.scores, strict=True):
                    yield Prediction(np.asarray(scores, np.float32), labels, start=start, end=end, source=path)
        finally:
            connection.close()
