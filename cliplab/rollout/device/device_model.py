"""The model that an inference loop on a device predicts with: it changes without a restart, and counts for reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from adapters.base import BaseModelAdapter
from adapters.errors import StorageError
from adapters.records import Clip, Prediction
from cliplab.registry import CurrentModel
from cliplab.rollout.device.examples import HardExamples, examples_of, keep_hard_example
from cliplab.rollout.device.installed import PRIVATE, InstalledModel
from cliplab.rollout.device.loop_counts import LoopFile


class DeviceModel:
    """A model that ``cliplab device run`` keeps current, for a loop in another process.

    Example:
        with DeviceModel("/var/lib/cliplab", "base-ad-detector") as model:
            for clip in clips:
                [prediction] = model.predict([clip])

    Args:
        folder: The client's ``--models`` folder.
        name: The model's name.
        overrides: Runtime keys of the config, for every version.
        trust_adapters: Adapters of other packages that versions may name, "module:Class" each; their code is run.
        on_warning: As of ``CurrentModel``; it also hears that no example could be kept.
        examples: Which predictions are kept as hard examples, for the client to send; None keeps none.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str,
        overrides: Mapping[str, Any] | None = None,
        *,
        trust_adapters: Sequence[str] = (),
        on_warning: Callable[[str], object] | None = None,
        examples: HardExamples | None = None,
    ) -> None:
        """Nothing is loaded here: the first ``predict`` or ``get`` loads, and raises where it cannot."""
        self._installed = InstalledModel(Path(folder), name)
        self._model = CurrentModel(
            self._installed.folder, overrides, trust_adapters=trust_adapters, on_warning=on_warning
        )
        self._loop = LoopFile(Path(folder) / PRIVATE / "loops", name)
        self._digests: dict[str, str] = {}
        self._name, self._examples, self._on_warning = name, examples, on_warning or (lambda text: None)
        self._queue = None if examples is None else examples_of(Path(folder), examples.max_bytes)

    def __enter__(self) -> DeviceModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A loop that an error ended has crashed, also where Python was left in order.
        self._loop.close(ended=error is None or isinstance(error, (KeyboardInterrupt, SystemExit)))

    def get(self) -> BaseModelAdapter:
        """The adapter of the current version; predictions that are made with it are not counted.

        Raises:
            BundleError: No version is installed, or the first cannot be loaded.
        """
        return self._model.get()

    def predict(self, clips: Sequence[Clip]) -> list[Prediction]:
        """Predict with the current version, and count predictions, errors, latencies and scores.

        Args:
            clips: uint8 [T, H, W, 3] RGB each, as the model's ``input_spec`` says.

        Raises:
            BundleError: No version is installed, or the first cannot be loaded.
        """
        file, adapter = self._model.get_named()
        counts = self._loop.counts(self._digest(file))
        start = time.perf_counter()
        try:
            predictions = adapter.predict(clips)
        except Exception:
            counts.errors += len(clips)
            self._loop.write_if_due()
            raise
        counts.add(predictions, 1000 * (time.perf_counter() - start) / max(1, len(clips)))
        self._loop.write_if_due()
        self._keep_examples(file, clips, predictions)
        return predictions

    def _keep_examples(self, file: str, clips: Sequence[Clip], predictions: Sequence[Prediction]) -> None:
        """Keep hard ones. A full disk must not end the loop: it costs the examples only."""
        if self._queue is None or self._examples is None:
            return
        try:
            for clip, prediction in zip(clips, predictions, strict=True):
                keep_hard_example(self._queue, self._examples, self._name, file, clip, prediction)
        except StorageError as error:
            self._queue = None
            self._on_warning(f"no more examples are kept until the next start: {error}")

    def record_label(self, correct: bool) -> None:
        """Count one prediction that a person or another source has judged since.

        Args:
            correct: Whether the top label was right.
        """
        file, _ = self._model.get_named()
        counts = self._loop.counts(self._digest(file))
        counts.labelled += 1
        counts.correct += int(correct)

    def close(self) -> None:
        """End the loop on purpose: a process that ends without this is reported as a crash."""
        self._loop.close()

    def _digest(self, file: str) -> str:
        """The digest of a version's file, from the manifest that it was current in."""
        if file not in self._digests:
            versions = (self._installed.current(), self._installed.previous())
            self._digests |= {item.file: item.sha256 for item in versions if item is not None}
        return self._digests.get(file, "")
