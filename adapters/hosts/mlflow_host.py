"""The MLflow host: a saved model as an MLflow model of the ``pyfunc`` flavor. Nothing is pickled.

``save_model`` and ``log_model`` copy a bundle into an MLflow model and write this module's name as its loader. MLflow
then imports this module, calls ``_load_pyfunc`` with the copied bundle, and calls ``predict`` on the returned
``VideoModel``. The module's name is part of saved models and must not change.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.errors import AdapterError, BundleError, ConfigError, MediaError, MissingExtraError, describe_failure
from adapters.hosts.mlflow_rows import clip_of_frames, read_rows, row_name, video_column, with_row_name
from adapters.hosts.results import SHAPES, to_pipeline
from adapters.inference import ClipFunction, FailedClip, open_model, predict_videos
from adapters.media import MediaLimits
from adapters.models import clean_copy
from adapters.records import Clip, VideoResult

# MLflow sends usage statistics unless this is set before it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
try:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array, Object, Property
except ImportError as missing:
    raise MissingExtraError("mlflow", "registry") from missing

LOADER_MODULE = "adapters.hosts.mlflow_host"
# Limit on a frame, in pixels, of a video that a client sends or names below the root: 8K. Without a root, paths come
# from the model's owner and have no limit.
FRAME_PIXELS = 7680 * 4320
# Overrides the saved root, so that one model can be served from several machines.
ROOT_VARIABLE = "CLIPLAB_ROOT"
_PARAMETERS = ("shape", "top_k", "window_seconds", "stride_seconds")


# Save ---------------------------------------------------------------------------------------------------------------


def save_model(
    model: str | Path,
    path: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    pip_requirements: Sequence[str] | None = None,
    trust_adapters: Sequence[str] = (),
    **options: Any,
) -> None:
    """Write a bundle or a self-describing .tflite as an MLflow model.

    Args:
        model: The bundle or .tflite.
        path: Folder for the MLflow model. It must not exist.
        overrides: Runtime keys of the config that are saved with the MLflow model.
        root: Folder whose files rows may name; None allows any file that the process may read. The environment
            variable CLIPLAB_ROOT overrides it.
        pip_requirements: Requirements of the MLflow model; None for this cliplab with its ``registry`` extra.
        trust_adapters: Adapters of other packages that the model may name, as for ``open_model``. Whoever loads the
            MLflow model needs them installed with an entry point, or loads it within ``adapters.trusting``.
        **options: Further arguments of ``mlflow.pyfunc.save_model``, for example ``metadata``.

    Raises:
        BundleError: The model is missing or damaged.
        ConfigError: An override is not allowed, or cliplab is not installed and ``pip_requirements`` is None.
        mlflow.exceptions.MlflowException: MLflow cannot write the model, for example because ``path`` exists.
    """
    with _arguments(model, overrides, root, pip_requirements, trust_adapters) as arguments:
        mlflow.pyfunc.save_model(path=str(path), **arguments, **options)


def log_model(
    model: str | Path,
    name: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    pip_requirements: Sequence[str] | None = None,
    trust_adapters: Sequence[str] = (),
    **options: Any,
) -> Any:
    """Log a model to the active run of MLflow's tracking server.

    Args:
        model: The bundle or .tflite.
        name: Name of the model in the run.
        overrides: As for ``save_model``.
        root: As for ``save_model``.
        pip_requirements: As for ``save_model``.
        trust_adapters: As for ``save_model``.
        **options: Further arguments of ``mlflow.pyfunc.log_model``, for example ``registered_model_name``.

    Returns:
        MLflow's ModelInfo.

    Raises:
        BundleError: The model is missing or damaged.
        ConfigError: As for ``save_model``.
        mlflow.exceptions.MlflowException: MLflow cannot store the model.
    """
    with _arguments(model, overrides, root, pip_requirements, trust_adapters) as arguments:
        return mlflow.pyfunc.log_model(name=name, **arguments, **options)


@contextmanager
def _arguments(
    model: str | Path,
    overrides: Mapping[str, Any] | None,
    root: str | Path | None,
    pip_requirements: Sequence[str] | None,
    trust_adapters: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Arguments for MLflow: the model's path, its loader, inputs, outputs and requirements.

    What a model of an older version tells about its maker's machine is left out.
    """
    stored = Path(model)
    if not stored.exists():
        raise BundleError(
            f"{model}: there is no such file or folder. A bundle or a self-describing .tflite is required"
        )
    open_model(
        stored, overrides, trust_adapters
    )  # reports a damaged model or a wrong override before anything is written
    with clean_copy(stored) as copied:
        yield {
            "loader_module": LOADER_MODULE,
            "data_path": str(copied.absolute()),
            "model_config": {
                "overrides": dict(overrides or {}),
                "root": None if root is None else str(Path(root).absolute()),
            },
            "signature": signature(),
            "input_example": input_example(),
            "pip_requirements": list(pip_requirements) if pip_requirements is not None else [_requirement()],
        }


def signature() -> ModelSignature:
    """Return the signature of any model: one row per video, with the columns and parameters of ``VideoModel``."""
    inputs = [
        ColSpec("string", "path", required=False),
        ColSpec("binary", "video", required=False),
        ColSpec(AnyType(), "frames", required=False),
        ColSpec("double", "fps", required=False),
    ]
    label = Object([Property("label", "string"), Property("score", "double")])
    window = Object([Property("start", "double"), Property("end", "double"), Property("labels", Array(label))])
    outputs = [
        ColSpec("string", "path"),
        ColSpec(Array(window), "predictions"),
        ColSpec("string", "error", required=False),
        ColSpec(Array("string"), "warnings", required=False),
    ]
    params = [
        ParamSpec("shape", "string", "rows"),
        ParamSpec("top_k", "long", None),
        ParamSpec("window_seconds", "double", None),
        ParamSpec("stride_seconds", "double", None),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(params))


def input_example() -> Any:
    """Return a table with one row: the bytes of a rendered video of one second."""
    import pandas as pd

    return pd.DataFrame({"video": [_rendered_video()]})


def _rendered_video() -> bytes:
    """Ten frames of 64 x 64 in an MP4 of some kilobytes, rendered."""
    import av

    from adapters.bundle import render_clip
    from adapters.records import InputSpec

    clip = render_clip(InputSpec(height=64, width=64, n_frames=10, fps=10.0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.mp4"
        with av.open(path, "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for frame in clip.frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path.read_bytes()


def _requirement() -> str:
    try:
        return f"cliplab[registry]=={version('cliplab')}"
    except PackageNotFoundError:
        raise ConfigError(
            "cliplab runs from a folder and is not installed, so its version is unknown. Install it with pip, or "
            "list what the model needs with pip_requirements=[...]"
        ) from None


# Load and predict ---------------------------------------------------------------------------------------------------


def _load_pyfunc(data_path: str, model_config: Mapping[str, Any] | None = None) -> VideoModel:
    """Load a model for MLflow. model_config: overrides and root, as saved or as given to ``load_model``."""
    _let_the_server_read_csv()
    settings = dict(model_config or {})
    return VideoModel(open_model(data_path, settings.get("overrides")), settings.get("root"))


def _let_the_server_read_csv() -> None:
    """Give MLflow's server a pandas type for the column ``frames``, whose type is "any".

    The server asks for a pandas type of every column before it reads CSV, and refuses all CSV where one has none, while
    MLflow's command line reads it. Saved models have such a column, so it cannot be changed in the signature.
    """
    original = Schema.pandas_types
    if getattr(original, "reads_any", False):
        return

    @wraps(original)
    def pandas_types(schema: Any) -> Any:
        if not any(isinstance(column.type, AnyType) for column in schema.inputs):
            return original(schema)
        return [getattr(column.type, "to_pandas", lambda: np.dtype(object))() for column in schema.inputs]

    pandas_types.reads_any = True  # type: ignore[attr-defined]
    Schema.pandas_types = pandas_types


def _checked(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters that are given. ConfigError: There are others, or they are not a mapping."""
    if params is not None and not isinstance(params, Mapping):
        raise ConfigError(f"params must be a mapping of names to values, got {params!r:.60}")
    given = {key: value for key, value in (params or {}).items() if value is not None}
    if unknown := [key for key in given if key not in _PARAMETERS]:
        raise ConfigError(f"parameter {unknown[0]!r:.60} is not known; use {', '.join(_PARAMETERS)}")
    return given


class VideoModel:
    """The loaded model, on which MLflow calls ``predict``.

    Args:
        adapter: The opened model.
        root: Folder whose files rows may name; None allows any file. The environment's CLIPLAB_ROOT overrides it.
    """

    def __init__(self, adapter: BaseModelAdapter, root: str | Path | None = None) -> None:
        self.adapter = adapter
        root = os.environ.get(ROOT_VARIABLE) or root
        self.root = None if root is None else Path(root).resolve()

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Predict a table of videos.

        Args:
            data: pandas DataFrame with one of the columns ``path``, ``video`` and ``frames`` per row, and with ``fps``
                for frames.
            params: ``shape``, ``top_k``, ``window_seconds`` and ``stride_seconds``; None keeps the default or the
                config's value.

        Returns:
            One result per row, in order. With ``shape`` "rows" (the default), a DataFrame with path, predictions, error
            and warnings, as the rows of ``cliplab predict --json``; a video that cannot be read has an error. With
            "hf", a list of {"score", "label"} per video, as Hugging Face's pipeline returns it.

        Raises:
            mlflow.exceptions.MlflowException: The table or a parameter is wrong, or a video cannot be read and
                ``shape`` is "hf". A server answers 400.
        """
        try:
            return self._predict(data, **_checked(params))
        except (AdapterError, TypeError) as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def _predict(
        self,
        data: Any,
        shape: str = "rows",
        top_k: int | None = None,
        window_seconds: float | None = None,
        stride_seconds: float | None = None,
    ) -> Any:
        import pandas as pd

        if shape not in SHAPES:
            raise ConfigError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
        count = self.adapter.config["top_k"] if top_k is None else top_k
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise ConfigError(f"top_k must be at least 1, a whole number; got {count!r:.60}")
        count = int(count)
        results = self._results(read_rows(data), window_seconds, stride_seconds)
        if shape == "hf":
            return [to_pipeline(result, count) for result in results]
        rows = [{**result.to_json(count), "warnings": list(result.warnings)} for result in results]
        # dtype object, so that a missing error stays None and does not become NaN.
        return pd.DataFrame(rows, columns=["path", "predictions", "error", "warnings"], dtype=object)

    def _results(
        self, rows: Sequence[Mapping[str, Any]], window_seconds: float | None, stride_seconds: float | None
    ) -> list[VideoResult]:
        """One result per row. Files go through ``predict_videos`` together, so that it can decode ahead."""
        results: dict[int, VideoResult] = {}
        files: dict[str, dict[int, Path]] = {"path": {}, "video": {}}
        with tempfile.TemporaryDirectory(prefix="cliplab-") as folder:
            for number, row in enumerate(rows):
                try:
                    column = video_column(row)
                    if column == "frames":
                        clip = clip_of_frames(row["frames"], row.get("fps"), row_name(row, number))
                        results[number] = self._of_clip(clip)
                    else:
                        files[column][number] = self._file(row, column, Path(folder) / str(number))
                except (AdapterError, ValueError) as error:
                    results[number] = VideoResult(row_name(row, number), error=str(error))
                except Exception as error:
                    name = row_name(row, number)
                    results[number] = VideoResult(name, error=describe_failure(name, error))
            for column, paths in files.items():
                limits = None if column == "path" and self.root is None else MediaLimits(FRAME_PIXELS)
                found = predict_videos(
                    self.adapter,
                    list(paths.values()),
                    window_seconds=window_seconds,
                    stride_seconds=stride_seconds,
                    limits=limits,
                )
                for number, result in zip(paths, found, strict=True):
                    results[number] = with_row_name(result, row_name(rows[number], number))
        return [results[number] for number in range(len(rows))]

    def _of_clip(self, clip: Clip) -> VideoResult:
        [found] = ClipFunction(self.adapter.predict)([clip])
        if isinstance(found, FailedClip):
            return VideoResult(clip.source, error=found.error)
        return VideoResult(clip.source, (found,))

    def _file(self, row: Mapping[str, Any], column: str, temporary: Path) -> Path:
        """The file of a row: its path, which must be under the root, or its bytes written to a temporary file."""
        if column == "video":
            if not isinstance(row["video"], bytes):
                raise MediaError(
                    f"video must be the bytes of a file, got {type(row['video']).__name__}. Send it as base64 in JSON; "
                    "CSV can only name paths"
                )
            temporary.write_bytes(row["video"])
            return temporary
        if not isinstance(row["path"], (str, os.PathLike)):
            raise MediaError(f"path must be the name of a file, got {row['path']!r:.60}")
        if self.root is None:
            return Path(row["path"])
        if "\0" in os.fspath(row["path"]):
            raise MediaError(f"{row['path']!r}: is not a file name. Give a file of the folder that this model may read")
        path = Path(os.path.realpath(self.root / row["path"]))
        if not path.is_relative_to(self.root):
            raise MediaError(f"{row['path']}: is outside the folder that this model may read. Give a file inside it")
        return path
