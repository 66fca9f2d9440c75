"""The adapter of a .tflite made elsewhere: its program is the file itself, its config says what the file does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from adapters.base import BaseModelAdapter, OnEpochEnd, TrainOptions
from adapters.bundle import Bundle, Golden, make_golden, render_card, render_clip, write_bundle
from adapters.config import Config
from adapters.errors import AdapterError, BundleError, ConfigError, ConversionError, TrainingError
from adapters.inference import StreamSession, loaded_config, merge_frames, read_stored
from adapters.litert import Program, StreamProgram, compare, with_description, without_description
from adapters.media import to_model_input
from adapters.models.tflite_classifier.program import AXES, PROGRAM_NAME, describe, open_program, to_scores
from adapters.protocols import LiteRTProgram, StoredModel
from adapters.records import (
    Clip,
    Float32Array,
    InputSpec,
    Prediction,
    RequestedPrecision,
    aggregate,
    as_precision,
)
from adapters.reports import ConversionReport, TrainReport
from adapters.system import write_bytes_atomic


class TfliteClassifierAdapter(BaseModelAdapter):
    """A classifier from elsewhere, as ``cliplab adopt`` describes it: it predicts, and has no weights to train from.

    Attributes:
        metrics: What was measured of it, as in a bundle's metrics.json.
    """

    schema_path = Path(__file__).with_name("schema.json")

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        super().__init__(config, explicit=explicit)
        self.metrics: dict[str, Any] = {}
        self._stored: StoredModel | None = None
        self._program: Program | StreamProgram | None = None

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        """What is wrong between keys, one sentence per problem.

        Args:
            config: A complete config whose keys are valid each by itself.
        """
        if config["labels"] is None:
            yield '"labels" is required: the classes in the order of the program\'s outputs'
        if config["device"] == "gpu":
            yield '"device" "gpu" is not offered: a .tflite is computed on the CPU'
        if config["sampling"] == "every" and config["input"] != "frames":
            yield f'"sampling" "every" is for "input" "frames", got "{config["input"]}"'
        if config["input"] == "stream" and config["fps"] is None:
            yield '"fps" is required with "input" "stream": the frame rate that the model was trained with, e.g. 5'
        if config["memory_seconds"] is not None and config["input"] != "stream":
            yield '"memory_seconds" is for "input" "stream"'

    # What the model is --------------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.config["labels"])

    @property
    def input_spec(self) -> InputSpec:
        config, frames = self.config, self.config["n_frames"]
        rate = self.streams or config["sampling"] == "rate"
        window, stride = config["window_seconds"], config["stride_seconds"]
        if self.streams and window is not None:
            frames = max(1, round(window * config["fps"]))
        if self.streams and window is None and stride is not None:
            window = frames / config["fps"]
        return InputSpec(
            height=config["imgz"],
            width=config["input_width"] or config["imgz"],
            n_frames=frames,
            aspect=config["aspect"],
            sampling="rate" if rate else config["sampling"],
            fps=config["fps"],
            window_seconds=window,
            stride_seconds=stride,
            short_clip=config["short_clip"],
            sampling_tolerance_seconds=config["sampling_tolerance_seconds"],
            crop_fraction=config["crop_fraction"],
        )

    @property
    def scores_frames(self) -> bool:
        return bool(self.config["input"] == "frames")

    @property
    def streams(self) -> bool:
        return bool(self.config["input"] == "stream")

    # Load and save ------------------------------------------------------------------------------------------------

    def load(self, local_path: str | Path) -> None:
        self.load_stored(read_stored(local_path))

    def load_stored(self, stored: StoredModel) -> None:
        config = loaded_config(self, stored)
        if config["input"] == "clips" and config["n_frames"] != stored.config["n_frames"]:
            raise ConfigError(
                f'{stored.path}: "n_frames" is {config["n_frames"]}, but the program takes clips of '
                f"{stored.config['n_frames']} frames, which cannot be changed. Leave it out"
            )
        self.config, self.metrics, self._stored, self._program = config, dict(stored.metrics), stored, None

    def save(self, local_path: str | Path) -> None:
        golden = self.golden()
        write_bundle(
            local_path,
            config=self.config,
            programs={PROGRAM_NAME: without_description(self.program().model_bytes)},
            weights=None,
            metrics=self.metrics,
            golden=golden,
            card=render_card(self.config, self.labels, self.metrics, golden),
        )

    def golden(self) -> Golden:
        """The golden clip with the scores that the program gives for it: the stored one, otherwise made now."""
        if isinstance(self._stored, Bundle) and self._stored.golden is not None:
            return self._stored.golden
        return make_golden(self.input_spec, self.predict)

    def program(self) -> LiteRTProgram:
        """The file's program.

        Raises:
            BundleError: Nothing was loaded, or the program is not what the config says.
        """
        if self._program is None:
            if self._stored is None or not self._stored.programs:
                raise BundleError(
                    "this adapter runs a .tflite file, but none was loaded. Open the .tflite that `cliplab adopt` wrote"
                )
            path = next(iter(self._stored.programs.values()))
            self._program = open_program(path, self.config, self.labels, self.config["num_threads"])
        return cast(LiteRTProgram, self._program)

    # Predict ------------------------------------------------------------------------------------------------------

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        if not batch:
            return []
        return [
            Prediction(
                self._clip_scores(scores),
                self.labels,
                clip.start,
                clip.end,
                clip.source,
                scores if self.config["input"] != "clips" and self._has_frame_scores else None,
            )
            for clip, scores in zip(batch, self._scores(batch), strict=True)
        ]

    @property
    def _has_frame_scores(self) -> bool:
        return self.streams or self.config["n_frames"] > 1 or self.config["sampling"] == "every"

    def _scores(self, batch: Sequence[Clip]) -> list[Float32Array]:
        """Scores float32 [items, C] of each clip."""
        program = self.program()
        outputs: list[Float32Array]
        if isinstance(program, StreamProgram):
            rows = program.run_clips([self._frames(clip.frames) for clip in batch])
            outputs = [row[self.config["scores_output"]] for row in rows]
        else:
            items = [self.program_inputs(clip) for clip in batch]
            values = cast(Program, program).run(np.concatenate(items))[self.config["scores_output"]]
            outputs = np.split(values, np.cumsum([len(item) for item in items])[:-1])
        return [to_scores(output, self.config, self.labels) for output in outputs]

    def program_inputs(self, clip: Clip) -> Float32Array:
        """A clip as inputs of the program: float32 [T, ...] of frames or [1, ...] of the clip.

        Args:
            clip: Frames uint8 [T, H, W, 3] RGB of any size.

        Raises:
            AdapterError: The program takes clips of more frames.
        """
        frames = self._frames(clip.frames)
        if self.config["input"] == "clips":
            count = self.config["n_frames"]
            if len(frames) < count:
                raise AdapterError(
                    f"{clip.source}: {len(frames)} frames were given, but the program takes {count}. Sample the clip "
                    "as input_spec says (adapters.media.read_clip does)"
                )
            frames = frames[((np.arange(count) + 0.5) * len(frames) / count).astype(int)]
        arranged = np.ascontiguousarray(frames.transpose(AXES[self.config["layout"]]))
        return arranged[None] if self.config["input"] == "clips" else arranged

    def _frames(self, frames: Any) -> Float32Array:
        """float32 [T, H, W, 3], preprocessed."""
        prepared = to_model_input(frames, self.input_spec, self.config["mean"], self.config["scale"])
        return np.ascontiguousarray(prepared[..., ::-1]) if self.config["channel_order"] == "bgr" else prepared

    def _clip_scores(self, scores: Float32Array) -> Float32Array:
        if self.config["input"] == "frames":
            return aggregate(scores, self.config["aggregation"], self.config["top_fraction"])
        return np.array(scores[-1])

    @property
    def merges_pieces(self) -> bool:
        return self.scores_frames

    def merge(self, pieces: Sequence[Prediction]) -> Prediction:
        """One prediction of a video from those of its pieces: the aggregate of all frames, as of one long clip."""
        if not self.scores_frames:
            return super().merge(pieces)
        return merge_frames(pieces, self._clip_scores)

    def open_stream(
        self, fps: float | None = None, *, source: str = "", on_note: Callable[[str], object] | None = None
    ) -> StreamSession:
        """Open a stream; see the contract."""
        program = self.program()
        if not isinstance(program, StreamProgram):
            raise ConfigError(
                f"open_stream is for programs with states, but this one takes {self.config['input']}. Use predict with "
                "windows"
            )
        config, labels = self.config, self.labels
        return StreamSession(
            program,
            labels,
            self.input_spec,
            config["fps"] if fps is None else fps,
            mean=config["mean"],
            scale=config["scale"],
            to_scores=lambda outputs: to_scores(outputs, config, labels),
            output=config["scores_output"],
            memory_seconds=config["memory_seconds"],
            source=source,
            on_note=on_note,
        )

    def embed(self, batch: Sequence[Clip]) -> Float32Array:
        """Not offered: a program made elsewhere returns its classes and no features."""
        raise AdapterError(
            "a .tflite made elsewhere returns classes but no features, so it cannot embed clips. Use a model "
            "that was trained here, such as a bundle of MoViNet"
        )

    # Train and convert --------------------------------------------------------------------------------------------

    def train(
        self,
        data_path: str | Path,
        output_path: str | Path,
        on_epoch_end: OnEpochEnd | None = None,
        options: TrainOptions = TrainOptions(),
    ) -> TrainReport:
        """Not offered: a program has no weights to train."""
        raise TrainingError(
            "a .tflite made elsewhere holds a program but no weights, so it can predict but cannot be trained. Train "
            'from the weights that it came from ("weights" in a config; docs/weights.md), or from published ones'
        )

    def convert(
        self,
        output_path: str | Path,
        quantize: RequestedPrecision = "float32",
        calibration: Sequence[Clip] | None = None,
    ) -> ConversionReport:
        """Copy the file, with its description; another precision cannot be made without weights."""
        path, own = Path(output_path), self.program()
        try:
            precision = as_precision(quantize)
        except ValueError as error:
            raise ConversionError(f'"quantize": {error}') from None
        if precision != own.precision:
            raise ConversionError(
                f"{path}: the program is {own.precision} and has no weights to make a {precision} program from. Use "
                f"{own.precision}, which copies it, or convert the model that it came from"
            )
        if path.suffix.lower() != ".tflite":
            raise ConversionError(f'{path}: the converted file\'s name must end in ".tflite"')
        program = without_description(own.model_bytes)
        clips = list(calibration or ()) or [render_clip(self.input_spec)]
        report = compare(
            self._stacked,
            self._stacked,
            [[clip] for clip in clips],
            clip_origin="calibration clips" if calibration else "rendered clips",
            output_path=path,
            quantize=precision,
            source_size_bytes=own.size_bytes,
            model=program,
            min_agreement=self.config["min_agreement"],
        )
        write_bytes_atomic(
            path, with_description(program, describe(self.config, self.labels, self.golden(), self.metrics))
        )
        return report

    def _stacked(self, batch: Sequence[Clip]) -> Float32Array:
        return np.stack([prediction.scores for prediction in self.predict(batch)])
