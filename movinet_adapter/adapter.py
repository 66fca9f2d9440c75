"""The MoViNet adapter: base mode sees a whole clip, stream mode frame after frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.config import Config, check_config
from adapters.errors import ConfigError, WeightsError
from adapters.inference import StreamSession
from adapters.litert import GraphWriter, StreamProgram
from adapters.media import to_model_input
from adapters.models import (
    AnyProgram,
    BackboneShapes,
    ModelAdapter,
    Network,
    Pretrained,
    Variables,
    checked_variables,
    even_frames,
)
from adapters.models.weights import OUTPUT_BIAS
from adapters.protocols import LiteRTProgram
from adapters.records import Clip, Float32Array, InputSpec, Precision, take_evenly
from adapters.training import class_scores, output_activation, output_units
from movinet_adapter.architecture import DENSE_UNITS, Architecture, architecture
from movinet_adapter.backbone import (
    MoViNetBackbone,
    backbone_shapes,
    published_variables,
    random_movinet_variables,
)
from movinet_adapter.weights.variant import variant_of_file

# What the published weights were trained at: https://tfhub.dev/google/collections/movinet
NATIVE_SIZE = {"a0": 172, "a1": 172, "a2": 224, "a3": 256, "a4": 290, "a5": 320}
NATIVE_FRAMES = {"a0": 50, "a1": 50, "a2": 50, "a3": 120, "a4": 80, "a5": 120}
RECOMMENDED_FPS = {"a0": 5.0, "a1": 5.0, "a2": 5.0, "a3": 12.0, "a4": 8.0, "a5": 12.0}
CALIBRATION_CLIPS = 24
STREAM_FORMAT = 1  # raised with a change of the conversion to stream programs; see adapters/litert/program_cache.py


class MoViNetAdapter(ModelAdapter):
    """MoViNet (Kondratyuk et al. 2021, arXiv:2103.11511) a0 to a5, base and stream, by a JSON config.

    An item is a clip: float32 [n_frames, imgz, imgz, 3] in 0..1. Stream mode trains as the causal network on clips and
    predicts with a program that steps along the frames; the last frame's scores are the clip's.
    """

    schema_path = Path(__file__).with_name("schema.json")
    own_labels_path = Path(__file__).with_name("labels") / "kinetics600.txt"
    backbone_keys = ("model_id", "model_mode", "variant", "imgz", "n_frames")
    family = "movinet"
    network_format = 1  # the network and its lowering to two dimensions
    published_names = ("kinetics-600",)
    quantises_written = False  # the architecture decides which layers compute in 8 bits

    def __init__(self, config: Any, *, explicit: bool = False) -> None:
        # Without "variant" in the config, take it from the weights file.
        if "variant" not in config and (
            found := variant_of_file(str(config.get("weights", "")), config.get("model_mode"))
        ):
            config = {**config, "variant": found}
        super().__init__(config, explicit=explicit)
        self._read: tuple[tuple[Any, ...], Pretrained] | None = None  # the file of "weights", and what it holds

    @classmethod
    def resolve_paths(cls, config: Config, folder: Path) -> Config:
        """Weights that lie beside the config file, by their path from here."""
        weights = config.get("weights")
        if not isinstance(weights, str) or Path(weights).exists() or not (folder / weights).exists():
            return config
        return {**config, "weights": str(folder / weights)}

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        """What is wrong between keys, one sentence per problem.

        Args:
            config: A complete config whose keys are valid each by itself.
        """
        yield from super().config_problems(config)
        stream, fps = config["model_mode"] == "stream", _fps(config)
        if config["variant"] == "int8" and (not stream or config["model_id"] != "a0"):
            weights = str(config["weights"])
            what = f'"weights" {weights}, a published int8 model,' if _is_tflite(weights) else '"variant" "int8"'
            yield (
                f'{what} requires model_id "a0" and model_mode "stream", got "{config["model_id"]}" and '
                f'"{config["model_mode"]}". Set these, or name other weights'
            )
        if config["train_batch_norm"]:
            yield '"train_batch_norm" is not offered: MoViNet trains with batch normalisation as it was'
        if config["memory_seconds"] is not None and not stream:
            yield '"memory_seconds" is only for model_mode "stream"; base mode has no memory'
        if config["device"] == "gpu" and stream:
            yield '"device" "gpu" is only for model_mode "base"; a stream processes single frames on the CPU'
        window, lasts = config["window_seconds"], _n_frames(config) / fps
        if config["sampling"] == "rate" and not stream and window is not None and abs(window - lasts) > 1e-6:
            yield (
                f'"window_seconds" is {window:g}, but the {_n_frames(config)} frames at {fps:g} a second that sampling '
                f'"rate" takes last {lasts:g} s: leave it out, or change n_frames or fps'
            )

    # What the model sees ------------------------------------------------------------------------------------------

    @property
    def streams(self) -> bool:
        return bool(self.config["model_mode"] == "stream")

    @property
    def fps(self) -> float:
        """Frames per second of ``rate`` sampling and of stream mode."""
        return _fps(self.config)

    @property
    def architecture(self) -> Architecture:
        return architecture(self.config["model_id"], self.config["model_mode"], variant=self.config["variant"])

    @property
    def image_size(self) -> int:
        return NATIVE_SIZE[self.config["model_id"]] if self.config["imgz"] == "native" else super().image_size

    @property
    def input_spec(self) -> InputSpec:
        config, size, frames = self.config, self.image_size, _n_frames(self.config)
        rate = self.streams or config["sampling"] == "rate"
        window, stride = config["window_seconds"], config["stride_seconds"]
        if self.streams and window is not None:
            frames = max(1, round(window * self.fps))
        if rate and window is None and stride is not None:
            window = frames / self.fps
        return InputSpec(
            height=size,
            width=size,
            n_frames=frames,
            aspect=config["aspect"],
            sampling="rate" if rate else "spread",
            fps=self.fps if rate else None,
            window_seconds=window,
            stride_seconds=stride,
            short_clip=config["short_clip"],
            sampling_tolerance_seconds=config["sampling_tolerance_seconds"],
        )

    @property
    def item_shape(self) -> tuple[int, ...]:
        size = self.image_size
        return (_n_frames(self.config), size, size, 3)

    @property
    def items_per_clip(self) -> int:
        return 1

    def items(self, clip: Clip) -> Float32Array:
        """The clip as one item, preprocessed: n_frames taken evenly from all of its frames.

        Args:
            clip: At least n_frames frames uint8 [T, H, W, 3] RGB of any size.

        Returns:
            float32 [1, n_frames, imgz, imgz, 3] in 0..1.

        Raises:
            AdapterError: The clip has fewer frames.
        """
        return self._preprocessed(even_frames(clip, _n_frames(self.config)))[None]

    def _preprocessed(self, frames: Any) -> Float32Array:
        return to_model_input(frames, self.input_spec, self.config["mean"], self.config["scale"])

    # Network ------------------------------------------------------------------------------------------------------

    @property
    def published_head(self) -> list[Config]:
        return [{"units": DENSE_UNITS, "activation": self.architecture.classifier_activation}]

    def build_backbone(self) -> MoViNetBackbone:
        return MoViNetBackbone.build(self.architecture, self.image_size, _n_frames(self.config))

    def backbone_shapes(self) -> BackboneShapes | None:
        # A subclass that builds another network has it converted.
        own = type(self).build_backbone is MoViNetAdapter.build_backbone
        return backbone_shapes(self.architecture) if own else None

    def write_backbone(self, writer: GraphWriter, values: Variables) -> int:
        from movinet_adapter.writing import write_base, write_causal

        return (write_causal if self.streams else write_base)(writer, self.architecture, values)

    def write_program(self, quantize: Precision) -> bytes:
        if not self.streams:
            return super().write_program(quantize)
        from movinet_adapter.writing import step_program

        values = checked_variables(self)
        return step_program(self.architecture, self.image_size, self.network_config, values, quantize)

    def drawn_variables(self, shapes: Mapping[str, tuple[int, ...]]) -> Variables:
        return random_movinet_variables(self.architecture, shapes, self.config["seed"])

    def random_variables(self, network: Network) -> Variables:
        return self.drawn_variables({v.name.removesuffix(":0"): tuple(v.shape) for v in network.weights})

    def pretrained(self) -> Pretrained:
        found = self._read_weights()
        if self.config["labels"] is None:
            self._require_own_classes(found)
        return found

    def _read_weights(self) -> Pretrained:
        if not self.names_a_file:
            return published_variables(self.config)
        key = tuple(self.config[name] for name in ("weights", "model_id", "model_mode", "variant"))
        if self._read is None or self._read[0] != key:
            self._read = (key, published_variables(self.config))
        return self._read[1]

    @property
    def brings_classifier(self) -> bool:
        labels = self.config["labels"]
        layers = [layer for layer in self.config["head"] if "units" in layer]
        if labels is None or not self.names_a_file or layers not in ([], self.published_head):
            return labels is None
        bias = self._read_weights().classifier.get(OUTPUT_BIAS)
        return bias is not None and len(bias) == output_units(self.config, self.labels)

    @property
    def network_config(self) -> Config:
        """With the published classifier's layers, where the weights bring a classifier for the config's labels."""
        if self.trained or self.config["labels"] is None or not self.brings_classifier:
            return super().network_config
        dropout = [layer for layer in self.config["head"] if "units" not in layer]
        return {**self.config, "head": [*self.published_head, *dropout]}

    def begin_training(self, labels: Sequence[str]) -> None:
        super().begin_training(labels)
        if not self.trained and self.config["head"] != self.network_config["head"]:
            self.config = check_config({**self.config, "head": self.network_config["head"]})

    def _require_own_classes(self, found: Pretrained) -> None:
        """WeightsError where the classifier is not one of the classes that a config without labels predicts."""
        bias = found.classifier.get(OUTPUT_BIAS)
        if bias is None or len(bias) != len(self.labels):
            has = "have no classifier" if bias is None else f"have a classifier of {len(bias)} classes"
            raise WeightsError(
                f'{self.config["weights"]}: these weights {has}, but without "labels" a model predicts the '
                f"{len(self.labels)} classes of Kinetics-600. List the classes of its outputs, in their order, in "
                '"labels" (a list, or the path of a label file), train it on your labelled clips, or give '
                "weights with that classifier. If they belong to a bundle, use the bundle as the model"
            )

    # Stream programs ----------------------------------------------------------------------------------------------

    def program_name(self, quantize: Precision | None = None) -> str:
        if not self.streams:
            return super().program_name(quantize)
        size = self.image_size
        return f"{quantize or self.config['quantize']}_stream_1x1x{size}x{size}x3"

    @property
    def program_formats(self) -> dict[str, int]:
        return {**super().program_formats, **({"stream": STREAM_FORMAT} if self.streams else {})}

    def open_program(self, source: Path | bytes, num_threads: int | None, name: str | None = None) -> LiteRTProgram:
        if not self.streams:
            return super().open_program(source, num_threads, name)
        return StreamProgram(source, num_threads=num_threads, name=name)

    def ready_program(self) -> Path | bytes | None:
        """A published int8 model predicts as it is, unless another precision, size or labels are asked for."""
        if not self._may_be_ready or not self.brings_classifier:
            return None
        from movinet_adapter.streaming.published import published_program

        return published_program(Path(self.config["weights"]), self.image_size, output_activation(self.network_config))

    @property
    def _may_be_ready(self) -> bool:
        config = self.config
        precision_is_open = config["quantize"] == "int8" or not self._names_precision
        return not self.trained and self.streams and _is_tflite(str(config["weights"])) and precision_is_open

    def _require_trained(self) -> None:
        # A file whose program is cached was verified before; reading its weights takes longer than a short stream.
        if self._may_be_ready and self.config["labels"] is None:
            from movinet_adapter.streaming.published import is_known

            if is_known(Path(self.config["weights"]), self.image_size, output_activation(self.network_config)):
                return
        super()._require_trained()

    @property
    def _names_precision(self) -> bool:
        """Whether the config asks for a precision: a key that the caller wrote, not one of a platform's full config."""
        return "quantize" in self.given and set(self.given) != set(self.config)

    def convert_network(self, network: Network, quantize: Precision, calibration: Sequence[Clip]) -> bytes:
        if not self.streams:
            return super().convert_network(network, quantize, calibration)
        from movinet_adapter.streaming.conversion import stream_program_bytes

        assert isinstance(network.backbone, MoViNetBackbone)
        chosen = take_evenly(calibration, min(CALIBRATION_CLIPS, self.config["calibration_clips"]))
        samples = (self._preprocessed(clip.frames) for clip in chosen) if chosen else None
        return stream_program_bytes(network.backbone.network, network.head, quantize, samples)

    def _by_clip(self, batch: Sequence[Clip], program: AnyProgram, output: str) -> list[Float32Array]:
        if not isinstance(program, StreamProgram):
            return super()._by_clip(batch, program, output)
        found = program.run_clips([self._preprocessed(clip.frames) for clip in batch])
        return [self.rows_of(outputs, output) for outputs in found]

    @property
    def has_frame_scores(self) -> bool:
        return self.streams

    def clip_scores(self, scores: Float32Array) -> Float32Array:
        return np.array(scores[-1])

    def clip_features(self, features: Float32Array) -> Float32Array:
        return np.array(features[-1])

    # Streams ------------------------------------------------------------------------------------------------------

    def open_stream(
        self, fps: float | None = None, *, source: str = "", on_note: Callable[[str], object] | None = None
    ) -> StreamSession:
        """Open a stream. Sessions share a program and may run in threads of their own.

        Args:
            fps: The rate at which frames are consumed; None for the config's.
            source: The source's name, for predictions.
            on_note: Receives a sentence about each reset that the source caused and each change of its size.

        Raises:
            ConfigError: The model is of base mode, or fps is not above 0.
            AdapterError: The head is not trained.
        """
        if not self.streams:
            raise ConfigError('open_stream is for "model_mode" "stream"; this model has the mode "base"')
        self._require_trained()
        program = self.program()
        assert isinstance(program, StreamProgram)
        return StreamSession(
            program,
            self.labels,
            self.input_spec,
            self.fps if fps is None else fps,
            mean=self.config["mean"],
            scale=self.config["scale"],
            to_scores=lambda outputs: class_scores(
                self.rows_of({"scores": outputs}, "scores"), self.config, self.labels
            ),
            memory_seconds=self.config["memory_seconds"],
            source=source,
            on_note=on_note,
        )


def _is_tflite(weights: str) -> bool:
    return weights.endswith(".tflite")


def _n_frames(config: Config) -> int:
    return NATIVE_FRAMES[config["model_id"]] if config["n_frames"] == "native" else int(config["n_frames"])


def _fps(config: Config) -> float:
    return RECOMMENDED_FPS[config["model_id"]] if config["fps"] == "recommended" else float(config["fps"])
