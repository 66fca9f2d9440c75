"""The checkpoint of one training phase: written after each epoch, read by the run that resumes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adapters.errors import TrainingError
from adapters.reports import EpochLog
from adapters.system import check_regular_file, write_bytes_atomic

Stopped = Literal["finished", "early_stopping", "non_finite_loss", "interrupted"]
Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A training phase after one of its epochs.

    Attributes:
        present: The values of the variables that the phase changes, in the phase's order.
        best: The values that they had after the best epoch so far.
        optimizer: The values of the optimizer's variables.
        logs: The epochs so far.
        stopped: Why the phase ended; None while epochs remain.
    """

    present: Arrays
    best: Arrays
    optimizer: Arrays
    logs: tuple[EpochLog, ...]
    stopped: Stopped | None


def write_checkpoint(path: Path, key: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of the one before, as a whole or not at all.

    Args:
        path: The ``.safetensors`` file.
        key: The digest of what the run follows from.
        checkpoint: What to write.

    Raises:
        StorageError: The file cannot be written.
    """
    from safetensors.numpy import save

    arrays = {f"now/{index}": value for index, value in enumerate(checkpoint.present)}
    arrays |= {f"best/{index}": value for index, value in enumerate(checkpoint.best)}
    arrays |= {f"optimizer/{index}": value for index, value in enumerate(checkpoint.optimizer)}
    about = {
        "key": key,
        "stopped": json.dumps(checkpoint.stopped),
        "logs": json.dumps([asdict(log) for log in checkpoint.logs]),
    }
    write_bytes_atomic(path, save(arrays, metadata=about))


def read_checkpoint(
    path: Path, key: str, saved: Sequence[tuple[int, ...]], optimizer: Sequence[tuple[int, ...]]
) -> Checkpoint | None:
    """Read the checkpoint that a run may resume from.

    Args:
        path: The ``.safetensors`` file.
        key: The digest of what the present run follows from.
        saved: The shapes of the variables that the phase changes.
        optimizer: The shapes of the optimizer's variables.

    Returns:
        The checkpoint; None where it belongs to another run (another key) or another version wrote it.

    Raises:
        TrainingError: The file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    check_regular_file(path, TrainingError)
    try:
        with safe_open(path, framework="np") as file:
            about, names = file.metadata() or {}, set(file.keys())
            shapes = [(f"now/{index}", shape) for index, shape in enumerate(saved)]
            shapes += [(f"best/{index}", shape) for index, shape in enumerate(saved)]
            shapes += [(f"optimizer/{index}", shape) for index, shape in enumerate(optimizer)]
            if about.get("key") != key or names != {name for name, _ in shapes}:
                return None
            values = [file.get_tensor(name) for name, _ in shapes]
    except SafetensorError as error:
        raise TrainingError(
            f"{path}: the checkpoint is damaged ({error}). Delete it to train from the start"
        ) from error
    if [np.shape(value) for value in values] != [shape for _, shape in shapes]:
        return None
    try:
        logs = tuple(EpochLog(**row) for row in json.loads(about["logs"]))
        stopped: Stopped | None = json.loads(about["stopped"])
    except (KeyError, ValueError, TypeError):  # fields that this version does not have, or lacks some that it has
        return None
    count = len(saved)
    return Checkpoint(values[:count], values[count : 2 * count], values[2 * count :], logs, stopped)
