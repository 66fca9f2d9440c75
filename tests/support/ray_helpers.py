"""Models for scans on Ray: one that leaves a line for each frame it scores, one that kills whoever scores a video."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from scan_helpers import FramesAdapter

from adapters.records import Clip, Prediction


class SlowAdapter(FramesAdapter):
    """Takes its time, and tells first which node scores what, in the file that SCAN_RAY_LOG names."""

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        import ray

        if ray.is_initialized():  # on a cluster
            with open(os.environ["SCAN_RAY_LOG"], "a") as file:
                for clip in batch:
                    file.write(f"{ray.get_runtime_context().get_node_id()} {Path(clip.source).name}\n")
            time.sleep(0.2)
        return super().predict(batch)


class DeadlyAdapter(FramesAdapter):
    """A fault in native code that a video of a certain name brings out."""

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        if any(clip.source.endswith("boom.mp4") for clip in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(batch)
