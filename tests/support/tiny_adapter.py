"""The smallest adapter: how much redder than blue a clip is. The worked example of docs/adding_an_adapter.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter, OnEpochEnd, TrainOptions
from adapters.bundle import render_card, write_bundle
from adapters.config import override_config
from adapters.data import check_dataset, read_dataset
from adapters.errors import ConversionError
from adapters.inference import predict_examples, read_stored, require_class
from adapters.records import Clip, Float32Array, InputSpec, Prediction, RequestedPrecision
from adapters.reports import ConversionReport, EpochLog, TrainReport


class TinyAdapter(BaseModelAdapter):
    schema_path = Path(__file__).with_name("tiny_adapter.schema.json")

    def __init__(self, config: Any, *, explicit: bool = False) -> None:
        super().__init__(config, explicit=explicit)
        self.threshold = np.zeros(1, np.float32)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.config["labels"])

    @property
    def input_spec(self) -> InputSpec:
        keys = ("n_frames", "aspect", "sampling", "fps", "window_seconds", "stride_seconds", "short_clip")
        size = self.config["imgz"]
        return InputSpec(height=size, width=size, **{key: self.config[key] for key in keys})

    def load(self, local_path: str | Path) -> None:
        stored = read_stored(local_path)
        require_class(self, stored)
        self.config, _ = override_config(stored.config, self.given, str(local_path), explicit=self.explicit)
        self.threshold = stored.weights()["threshold"]

    def save(self, local_path: str | Path) -> None:
        write_bundle(
            local_path,
            config=self.config,
            programs={},
            weights={"threshold": self.threshold},
            metrics={},
            golden=None,
            card=render_card(self.config, self.labels, {}),
        )

    def train(
        self,
        data_path: str | Path,
        output_path: str | Path,
        on_epoch_end: OnEpochEnd | None = None,
        options: TrainOptions = TrainOptions(),
    ) -> TrainReport:
        """One "epoch": the threshold goes half way between the classes' mean redness."""
        dataset = read_dataset(data_path)
        check_dataset(dataset, self.labels)
        clips = dataset.of_split("train").examples
        results = list(predict_examples(self, clips))
        good = [(clip.label, item.predictions[0]) for clip, item in zip(clips, results, strict=True) if not item.error]
        means = [np.mean([self._redness_of(p) for name, p in good if name == label]) for label in self.labels]
        self.threshold = np.array([np.mean(means)], np.float32)
        log = EpochLog("head", 0, 0.0, 1.0, None, None, 0.0, best=True)
        if on_epoch_end is not None:
            on_epoch_end(log)
        self.save(output_path)
        skipped = tuple(item.error for item in results if item.error)
        counts = {"train": len(good)}
        return TrainReport(str(output_path), self.labels, (log,), 0, "finished", counts, len(good), 0.0, skipped)

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        return [self._predict_one(clip) for clip in batch]

    def _predict_one(self, clip: Clip) -> Prediction:
        redness = (clip.frames[..., 0].mean() - clip.frames[..., 2].mean()) / 255
        warm = 1 / (1 + np.exp(-(redness - self.threshold[0]) / self.config["contrast"]))
        scores = np.array([1 - warm, warm], np.float32)
        return Prediction(scores, self.labels, clip.start, clip.end, clip.source)

    def _redness_of(self, prediction: Prediction) -> float:
        warm = min(max(prediction.scores[1], 1e-6), 1 - 1e-6)
        return float(np.log(warm / (1 - warm)) * self.config["contrast"] + self.threshold[0])

    def embed(self, batch: Sequence[Clip]) -> Float32Array:
        return np.array([clip.frames.mean(axis=(0, 1, 2)) / 255 for clip in batch], np.float32).reshape(-1, 3)

    def convert(
        self,
        output_path: str | Path,
        quantize: RequestedPrecision = "float32",
        calibration: Sequence[Clip] | None = None,
    ) -> ConversionReport:
        raise ConversionError("a colour threshold has no network, so there is nothing to convert")
