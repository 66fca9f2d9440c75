"""The temporal adapter: EfficientNet-Lite's frames, one head over the frames of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.config import Config
from adapters.media import to_model_input
from adapters.models import ModelAdapter, Network, Pretrained, Variables, even_frames
from adapters.models.efficientnet_lite import EfficientNetLiteAdapter
from adapters.records import Clip, Float32Array
from adapters.training import output_units

FORMAT = 1  # raised with a change of the head's code; see adapters/litert/program_cache.py


class TemporalAdapter(EfficientNetLiteAdapter):
    """Frames through a shared EfficientNet-Lite, a projection, an LSTM and dense layers to the scores of the clip.

    Training caches the features of frames, the same as an EfficientNet-Lite's of this size and moments. The program
    that predicts takes a clip: float32 [n_frames, imgz, imgz, 3].
    """

    schema_path = Path(__file__).with_name("schema.json")
    head_keys = ("projection_units", "lstm_units")
    family = EfficientNetLiteAdapter.family  # of the backbone, whose programs and features it shares

    # A clip is scored as a whole: this is not a model of single frames.
    scores_frames = False
    merges_pieces = False
    has_frame_scores = False
    scores_items = False
    has_published_classifier = False
    brings_classifier = False

    @property
    def network_config(self) -> Config:
        return self.config

    @property
    def program_formats(self) -> dict[str, int]:
        return {**super().program_formats, "temporal": FORMAT}

    @property
    def program_shape(self) -> tuple[int, ...]:
        return (self.items_per_clip, *self.item_shape)

    def items(self, clip: Clip) -> Float32Array:
        """The frames, preprocessed: float32 [n_frames, imgz, imgz, 3], taken evenly where the clip has more."""
        frames = even_frames(clip, self.items_per_clip)
        return to_model_input(frames, self.input_spec, self.config["mean"], self.config["scale"])

    def program_inputs(self, clip: Clip) -> Float32Array:
        return self.items(clip)[None]

    def pretrained(self) -> Pretrained:
        return Pretrained(self.file_weights().backbone, {})

    def build_network(self) -> Network:
        from adapters.models.temporal.network import build_network

        return build_network(self.build_backbone(), self.config, output_units(self.config, self.labels))

    def random_variables(self, network: Network) -> Variables:
        from adapters.models.temporal.network import first_lstm_values

        values = super().random_variables(network)
        return values | first_lstm_values(values, self.config["seed"])

    def torch_state(self) -> dict[str, Any]:
        """By our names: no published network has this head."""
        return ModelAdapter.torch_state(self)
