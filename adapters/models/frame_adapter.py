"""Models that score single frames: an item is a frame, and a clip's score aggregates those of its frames."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.inference import merge_frames
from adapters.media import to_model_input
from adapters.models.model_adapter import ModelAdapter
from adapters.records import Clip, Float32Array, Prediction


class FrameModelAdapter(ModelAdapter):
    """A network on single frames. See ``ModelAdapter`` for what a subclass declares."""

    @property
    def scores_frames(self) -> bool:
        return True

    @property
    def item_shape(self) -> tuple[int, ...]:
        return (self.config["imgz"], self.config["imgz"], 3)

    @property
    def items_per_clip(self) -> int:
        return int(self.config["n_frames"])

    @property
    def has_frame_scores(self) -> bool:
        return self.items_per_clip > 1 or self.config["sampling"] == "every"

    def items(self, clip: Clip) -> Float32Array:
        """Every frame: float32 [T, imgz, imgz, 3]."""
        return to_model_input(clip, self.input_spec, self.config["mean"], self.config["scale"])

    @property
    def merges_pieces(self) -> bool:
        return True

    def merge(self, pieces: Sequence[Prediction]) -> Prediction:
        """One prediction of a video from those of its pieces: the aggregate of all frames, as of one long clip."""
        return merge_frames(pieces, self.clip_scores)
