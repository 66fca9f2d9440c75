"""Training on labels from Label Studio: one at a time, in a separate process whose state is in a file.

``Trainer`` starts the process and reads its state. The process runs this module with ``python -m``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.config import PACKAGES
from adapters.data import Dataset, Example, write_dataset
from adapters.errors import AdapterError, ConfigError, DatasetError, MediaError, StorageError
from adapters.hosts.http_server.options import HttpOptions
from adapters.hosts.label_studio.labels import Control, parse_label_config, to_seconds
from adapters.hosts.label_studio.videos import LabelStudioClient, VideoFetcher
from adapters.inference import open_model, read_config
from adapters.media import DecoderPool, MediaLimits, limited_reading
from adapters.reports import EpochLog
from adapters.system import file_lock, write_json_atomic

_TOKEN = "CLIPLAB_LABEL_STUDIO_TOKEN"  # the environment's, so that the token is written to no file
_STATE, _JOB, _LOG, _LOCK = "state.json", "job.json", "log.txt", "training.lock"
_ENDED = ("finished", "failed")


class TrainingInProgressError(ConfigError):
    """A training is in progress, and only one may run at a time."""


# In the host --------------------------------------------------------------------------------------------------------


@dataclass
class Trainer:
    """Starts trainings, each in a new folder below ``output``.

    Attributes:
        config: A config file or the name of a ready config. If it has no labels, it gets the project's.
        output: Folder for trainings.
        fetcher: Finds or downloads the videos of tasks; it needs a Label Studio client.
        process: The process that was started last; None if there is none.
        folder: The folder of the training that was started last; None if there is none.
        trust_adapters: Adapters of other packages that the config may name; see ``open_model``.
        options: The host's, whose limits on frames and on decoding hold for the videos of a training too.

    Raises:
        ConfigError: The config is wrong, or the fetcher has no Label Studio client.
        StorageError: The folder for trainings cannot be created.
    """

    config: str
    output: Path
    fetcher: VideoFetcher
    process: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    trust_adapters: tuple[str, ...] = ()
    options: HttpOptions = field(default_factory=HttpOptions)

    def __post_init__(self) -> None:
        if self.fetcher.client is None:
            raise ConfigError("training needs Label Studio's annotations: give its URL and an access token")
        read_config(self.config)
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.output}: the folder for trainings cannot be created ({error})") from None

    def start(self, project: int, label_config: object) -> dict[str, Any]:
        """Start to train on a project's annotations.

        Args:
            project: Id of the Label Studio project.
            label_config: The project's labelling config (XML).

        Returns:
            The state, as ``state`` returns it.

        Raises:
            TrainingInProgressError: A training is in progress below ``output``.
            ConfigError: The labelling config does not label videos.
        """
        control = parse_label_config(label_config)[0]
        if self.process is not None and self.process.poll() is None and self.state()["status"] not in _ENDED:
            raise TrainingInProgressError(f"a training is already running in {self.folder}; only one can run at a time")
        with _training_lock(self.output):
            pass  # otherwise a training that another host started is in progress
        folder = self.output.resolve() / f"project{project}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
        folder.mkdir()
        client, root = self.fetcher.client, self.fetcher.root
        assert client is not None
        job = {
            "config": str(Path(self.config).absolute()) if Path(self.config).exists() else self.config,
            "project": project,
            "label_config": label_config,
            "url": client.url,
            "root": None if root is None else str(root.resolve()),
            "max_bytes": self.fetcher.max_bytes,
            "trust_adapters": list(self.trust_adapters),
            **decoding_options(self.options),
        }
        write_json_atomic(folder / _JOB, job)
        _write_state(folder, status="starting", labels=list(control.values))
        with (folder / _LOG).open("wb") as log:
            self.process = subprocess.Popen(
                # Without the current folder on the import path: what lies there is data.
                [sys.executable, "-P", "-m", __name__, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path()), _TOKEN: client.token},
                start_new_session=True,  # Ctrl-C ends the host, not the training
            )
        self.folder = folder
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return the state of the training that was started last.

        Returns:
            ``status`` (none, starting, running, finished or failed), ``folder``, and further keys that depend on the
            status, such as the stage, epoch and loss, the model's folder and labels, or the error.
        """
        if self.folder is None or self.process is None:
            return {"status": "none"}
        code = self.process.poll()  # before the state is read, so that the state of an ended process is its last one
        state: dict[str, Any] = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
        if code is not None and state["status"] not in _ENDED:
            error = f"the training process ended with code {code}; {self.folder / _LOG} has the details"
            state = {**state, "status": "failed", "error": error}
        return {"folder": str(self.folder), **state}


def decoding_options(options: HttpOptions) -> dict[str, Any]:
    """The keys of a job that say how its videos are decoded.

    Args:
        options: The host's.
    """
    return {
        "frame_pixels": options.frame_pixels,
        "decoders": options.decoder_count,
        "decoder_memory_mb": options.decoder_memory_mb,
        "decoder_seconds": options.decoding_seconds,
    }


def _import_path() -> list[str]:
    return [str(PACKAGES), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _training_lock(output: Path) -> AbstractContextManager[bool]:
    """Lock out other trainings below output while the block runs. TrainingInProgressError if one is in progress."""

    def busy(holder: str) -> TrainingInProgressError:
        return TrainingInProgressError(
            f"a training that another host ({holder}) started is already running in {output}; only one can run at a "
            "time"
        )

    return file_lock(output / _LOCK, busy=busy)


def _write_state(folder: Path, **state: Any) -> None:
    write_json_atomic(folder / _STATE, state)


# The process --------------------------------------------------------------------------------------------------------


def train(folder: Path, token: str) -> dict[str, Any]:
    """Fetch the annotations and videos of a project, train, and write the model to ``folder/model``.

    Args:
        folder: The training's folder, with its ``job.json``.
        token: Access token of Label Studio.

    Returns:
        The final state, as ``Trainer.state`` returns it.

    Raises:
        AdapterError: Label Studio cannot be reached, no task is labelled, or the training fails.
    """
    job = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    control = parse_label_config(job["label_config"])[0]
    labels = list(control.values)
    _write_state(folder, status="running", stage="fetching annotations", labels=labels)
    config = read_config(job["config"])
    adapter = open_model({**config, "labels": config.get("labels") or labels}, None, job["trust_adapters"])
    client = LabelStudioClient(job["url"], token)
    fetcher = VideoFetcher(None if job["root"] is None else Path(job["root"]), client, job["max_bytes"])
    tasks = client.get_json(f"/api/projects/{job['project']}/export?exportType=JSON")
    videos = folder / "videos"
    videos.mkdir()
    examples, skipped = read_tasks(tasks, control, fetcher, videos)
    if not examples:
        reasons = f"; left out: {'; '.join(skipped[:3])}" if skipped else ""
        raise DatasetError(f"project {job['project']} has no task that is labelled with {control.name!r}{reasons}")
    write_dataset(Dataset(tuple(examples), tuple(adapter.labels), folder), folder)

    def epoch_done(log: EpochLog) -> None:
        _write_state(
            folder,
            status="running",
            stage=log.phase,
            epoch=log.epoch + 1,
            loss=log.loss,
            val_accuracy=log.val_accuracy,
            labels=labels,
        )

    with _limits_of(job):
        report = adapter.train(folder / "dataset.jsonl", folder / "model", epoch_done)
    return {
        "status": "finished",
        "model": str(folder / "model"),
        "labels": list(report.labels),
        "clips": report.clips,
        "epochs": len(report.epochs),
        "stopped": report.stopped,
        "left_out": [*skipped, *report.skipped],
    }


@contextmanager
def _limits_of(job: Mapping[str, Any]) -> Iterator[None]:
    """Decode as the host does, in processes with limits: annotators and their videos are not known to it either."""
    limits = MediaLimits(job["frame_pixels"])
    if not job["decoders"]:
        with limited_reading(limits, None):
            yield
        return
    decoders = DecoderPool(job["decoders"], job["decoder_memory_mb"], job["decoder_seconds"])
    with closing(decoders), limited_reading(limits, decoders):
        yield


def read_tasks(tasks: Any, control: Control, fetcher: VideoFetcher, folder: Path) -> tuple[list[Example], list[str]]:
    """Read the labelled clips of exported tasks.

    If a task has several annotations, the ground truth is used, or the one that was changed last. Cancelled annotations
    are not used.

    Args:
        tasks: Label Studio's export in its JSON format.
        control: The control whose labels are read.
        fetcher: Finds or downloads the videos.
        folder: Folder for downloaded videos.

    Returns:
        The clips, and a sentence for each task that is left out.

    Raises:
        DatasetError: The export is not a list of tasks.
    """
    if not isinstance(tasks, list):
        raise DatasetError(f"Label Studio's export must be a list of tasks, got {type(tasks).__name__}")
    examples: list[Example] = []
    left_out: list[str] = []
    for number, task in enumerate(tasks):
        name = f"task {task.get('id') if isinstance(task, dict) else task!r:.60}"
        try:
            found = _labelled(task, control)
            if found:
                # By number: an id that is not a number could name a place outside the folder.
                path = fetcher.fetch(task.get("data", {}).get(control.video_key), folder, f"task{number}")
                source = f"label-studio-{task.get('id')!s:.60}"
                examples += [Example(path.resolve(), *what, source=source, group=source) for what in found]
        except (AdapterError, OSError) as error:
            left_out.append(f"{name}: {error}")
        except Exception as error:  # of this task alone
            left_out.append(f"{name}: does not have the form of Label Studio's export ({error!r:.200})")
    return examples, left_out


def _labelled(task: Mapping[str, Any], control: Control) -> list[tuple[tuple[str, ...], float | None, float | None]]:
    """Labels, start and end in seconds of each clip of a task's annotation. (labels, None, None) is the whole video."""
    given = [item for item in task.get("annotations") or [] if not item.get("was_cancelled")]
    if not given:
        return []
    chosen = max(given, key=lambda item: (bool(item.get("ground_truth")), str(item.get("updated_at") or "")))
    regions = [item for item in chosen.get("result") or [] if item.get("from_name") == control.name]
    clips: list[tuple[tuple[str, ...], float | None, float | None]] = []
    for region in regions:
        value = region.get("value") or {}
        labels = tuple(_label(control, name) for name in value.get(control.kind) or [])
        if control.kind == "choices":
            clips.append((labels, None, None))
        else:
            rate = control.frames_per_second(task.get("data", {}))
            clips += [(labels, *to_seconds(span["start"], span["end"], rate)) for span in value.get("ranges") or []]
    return clips


def _label(control: Control, value: str) -> str:
    label = control.label_of(value)
    if label is None:
        raise MediaError(
            f"is labelled {value!r}, but {control.name!r} no longer has this value; it has {', '.join(control.values)}"
        )
    return label


def main(folder: Path) -> int:
    """Run a training in this process. The final state is written after the lock is released.

    Args:
        folder: The training's folder.

    Returns:
        The exit code, which is 1 if the training failed. The state has the error.
    """
    try:
        with _training_lock(folder.parent):
            state = train(folder, os.environ[_TOKEN])
    except AdapterError as error:
        _write_state(folder, status="failed", error=str(error))
        return 1
    except Exception as error:
        _write_state(folder, status="failed", error=f"unexpected {type(error).__name__}: {error}")
        raise
    _write_state(folder, **state)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
