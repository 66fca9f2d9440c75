"""The Ray host: a callable class for ``ray.data.Dataset.map_batches``.

Ray creates one instance per actor, which loads the model once, and then calls it with batches of rows. Each row names
a video and gets its predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.errors import ConfigError, MissingExtraError
from adapters.inference import open_model, predict_videos
from adapters.records import VideoResult

try:
    import pyarrow as pa
    import ray
except ImportError as missing:
    raise MissingExtraError("ray", "scale") from missing

LABEL = pa.struct([("label", pa.string()), ("score", pa.float64())])
WINDOW = pa.struct([("start", pa.float64()), ("end", pa.float64()), ("labels", pa.list_(LABEL))])
# Columns that are added to each row. They have explicit types, since a batch may consist of errors only.
RESULT = pa.schema(
    [
        ("predictions", pa.list_(WINDOW)),
        ("error", pa.string()),
        ("warnings", pa.list_(pa.string())),
    ]
)


class VideoPredictor:
    """Predicts batches of paths: ``dataset.map_batches(VideoPredictor, fn_constructor_kwargs={"model": ...}, ...)``.

    An actor uses as many threads as Ray gave it CPUs, unless ``overrides`` sets ``num_threads``.

    Args:
        model: What ``open_model`` accepts. A path must lead to the same bundle on every node.
        overrides: Runtime keys of the config.
        path_column: Column that names the videos.
        top_k: Number of labels per window; None for the config's.
        window_seconds: Length of a window; None for the config's.
        stride_seconds: Distance between the starts of windows; None for the config's.
        trust_adapters: Adapters of other packages that the model may name; see ``open_model``.

    Raises:
        AdapterError: The model cannot be opened, or an option is wrong. It is raised when the actor starts.
    """

    def __init__(
        self,
        model: Any,
        overrides: Mapping[str, Any] | None = None,
        *,
        path_column: str = "path",
        top_k: int | None = None,
        window_seconds: float | None = None,
        stride_seconds: float | None = None,
        trust_adapters: Sequence[str] = (),
    ) -> None:
        self.adapter = open_model(model, {**_threads(), **(overrides or {})}, trust_adapters)
        self.path_column = path_column
        self.top_k = self.adapter.config["top_k"] if top_k is None else top_k
        if self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, got {top_k}")
        self.window_seconds, self.stride_seconds = window_seconds, stride_seconds

    def __call__(self, batch: Any) -> pa.Table:
        """Predict a batch.

        Args:
            batch: Rows with paths: a pyarrow table, or a mapping of column names to arrays.

        Returns:
            The same rows with the columns ``predictions``, ``error`` and ``warnings``. The predictions are windows with
            their best labels, as in the rows of ``cliplab predict --json``; they are empty if ``error`` says why the
            video could not be read.

        Raises:
            ConfigError: The batch lacks the path column, or has a column that the result needs.
            Exception: Whatever the model raises.
        """
        table = batch if isinstance(batch, pa.Table) else pa.table({key: list(column) for key, column in batch.items()})
        self._check(table.column_names)
        paths = table[self.path_column].to_pylist()
        known = [number for number, path in enumerate(paths) if isinstance(path, str)]
        found = predict_videos(
            self.adapter,
            [paths[number] for number in known],
            window_seconds=self.window_seconds,
            stride_seconds=self.stride_seconds,
        )
        results = dict(zip(known, found, strict=True))
        rows = [results.get(number, _no_path(self.path_column, path)) for number, path in enumerate(paths)]
        columns = _columns(rows, self.top_k)
        for field in RESULT:
            table = table.append_column(field, pa.array(columns[field.name], field.type))
        return table

    def _check(self, names: list[str]) -> None:
        if self.path_column not in names:
            raise ConfigError(
                f"the dataset has no column {self.path_column!r}; its columns: {', '.join(names)}. Use path_column "
                "to choose the one with the paths of the videos"
            )
        taken = [name for name in RESULT.names if name in names]
        if taken:
            raise ConfigError(f"the dataset already has a column {taken[0]!r}, which the result needs. Rename it first")


def _no_path(column: str, value: object) -> VideoResult:
    return VideoResult("", error=f"the row's {column} is {value!r}; a path is required")


def _columns(rows: list[VideoResult], top_k: int) -> dict[str, list[Any]]:
    found = [row.to_json(top_k) for row in rows]
    return {
        "predictions": [row["predictions"] for row in found],
        "error": [row["error"] for row in found],
        "warnings": [list(row.warnings) for row in rows],
    }


def _threads() -> dict[str, int]:
    """``num_threads`` for the CPUs that Ray gave this actor; empty outside an actor, to keep the config's."""
    if not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return {}
    cpus = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 0))
    return {"num_threads": cpus} if cpus >= 1 else {}
