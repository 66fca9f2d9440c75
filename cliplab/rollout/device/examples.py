"""Hard examples on a device: pictures that a model is unsure of, kept while it predicts and sent with the reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from adapters.errors import ConfigError
from adapters.records import Clip, Prediction
from adapters.system import json_text
from cliplab.rollout.device.connection import RegistryConnection
from cliplab.rollout.device.errors import UnreachableError
from cliplab.rollout.device.installed import PRIVATE
from cliplab.rollout.example_queue import ExampleQueue, sampled, uncertain

_MOST_PER_ROUND = 20
_LOOK_PIXELS = 16
_JPEG_QUALITY = 90
# Statuses that no repetition changes: the example is refused for what it is.
_REFUSED = (400, 413)


@dataclass(frozen=True, kw_only=True)
class HardExamples:
    """Which predictions are kept as hard examples.

    Attributes:
        min_confidence: The lower limit of the top score, in 0..1.
        max_confidence: The upper limit.
        sample_rate: The share of them that is kept, in 0..1.
        max_bytes: How much they may take on the device's disk.

    Raises:
        ConfigError: A value is out of range.
    """

    min_confidence: float = 0.4
    max_confidence: float = 0.6
    sample_rate: float = 0.1
    max_bytes: int = 200_000_000

    def __post_init__(self) -> None:
        uncertain([0.5], self.min_confidence, self.max_confidence)
        sampled("", self.sample_rate)
        if self.max_bytes < 1:
            raise ConfigError(f"max_bytes of examples is {self.max_bytes} and must be at least 1")


def examples_of(models: Path, max_bytes: int = HardExamples.max_bytes) -> ExampleQueue:
    """The queue of examples of a device's folder of models."""
    return ExampleQueue(models / PRIVATE / "examples", max_bytes)


def keep_hard_example(
    queue: ExampleQueue, which: HardExamples, model: str, file: str, clip: Clip, prediction: Prediction
) -> bool:
    """Keep the middle frame of a clip if the model is unsure of it and chance chooses it.

    Args:
        queue: Where it is kept.
        which: Which predictions count.
        model: The model's name.
        file: The file of its version.
        clip: What was predicted.
        prediction: Its scores.

    Returns:
        Whether it is kept; one that looks like an example that waits is not.

    Raises:
        StorageError: It cannot be written.
    """
    if not uncertain(prediction.scores, which.min_confidence, which.max_confidence):
        return False
    if not sampled(f"{clip.source}\n{clip.start:.3f}", which.sample_rate):
        return False
    frame = clip.frames[len(clip.frames) // 2]
    written, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not written:
        return False
    # Two frames look alike if their coarse greys do; a model's own features would cost a second prediction.
    grey = cv2.resize(frame, (_LOOK_PIXELS, _LOOK_PIXELS), interpolation=cv2.INTER_AREA).mean(axis=2)
    confidence = float(np.max(prediction.scores))
    facts = {
        "model": model,
        "file": file,
        "scores": {
            label: round(float(score), 6) for label, score in zip(prediction.labels, prediction.scores, strict=True)
        },
        "start": float(clip.start),
        "end": float(clip.end),
        "uncertainty": 1 - abs(2 * confidence - 1) if np.isfinite(confidence) else 1.0,
    }
    return queue.put(data.tobytes(), ".jpg", facts, grey - grey.mean())


def send_examples(
    queue: ExampleQueue, connection: RegistryConnection, device: str, on_warning: Callable[[str], object]
) -> int:
    """Send waiting examples, a bounded number in a round; each is removed once the registry has it.

    Args:
        queue: Where they wait.
        connection: To the registry.
        device: The device's name.
        on_warning: Called with why one is given up.

    Returns:
        How many the registry took.

    Raises:
        UnreachableError: The registry does not answer or takes none now; the examples go on waiting.
    """
    sent = 0
    for example in queue.waiting():
        if sent == _MOST_PER_ROUND:
            break
        facts = {key: value for key, value in example.facts.items() if key not in ("direction", "bytes")}
        head = json_text({**facts, "name": example.name, "suffix": example.path.suffix}).encode()
        try:
            body = head + b"\n" + example.data()
            connection.post(f"devices/{device}/examples", body, "application/octet-stream")
        except OSError:  # removed to make room for another
            continue
        except UnreachableError as error:
            if error.status not in _REFUSED:
                raise
            on_warning(f"the registry refused example {example.name}: {error}")
        else:
            sent += 1
        queue.remove(example.name)
    return sent
