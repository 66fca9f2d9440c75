"""The adapter of prompts: frames scored by how well they agree with words, without any training.

Zero-shot classification of CLIP (Radford et al. 2021, section 3.1): vectors of picture and text are scaled to length 1,
their products are cosines, and softmax over all prompts of the cosines times the logit scale gives scores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter, OnEpochEnd, TrainOptions
from adapters.config import Config
from adapters.errors import BundleError, ConversionError, ScoresError, StorageError, TrainingError
from adapters.inference import merge_frames
from adapters.litert import available_cores
from adapters.media import to_model_input
from adapters.models.prompt_pair.files import find_pair, read_preparation
from adapters.models.prompt_pair.networks import open_image_network, open_text_network
from adapters.models.prompt_pair.tokenizing import open_tokenizer
from adapters.records import Clip, Float32Array, InputSpec, Prediction, RequestedPrecision, aggregate
from adapters.reports import ConversionReport, TrainReport

_MOST_WORK = 64  # pictures that are prepared at a time


class PromptPairAdapter(BaseModelAdapter):
    """Scores frames by prompts with a local pair of an image and a text network. It cannot be trained or converted.

    Its labels are the prompts, then the neutral prompts.
    """

    schema_path = Path(__file__).with_name("schema.json")

    def __init__(self, config: Mapping[str, Any], *, explicit: bool = False) -> None:
        super().__init__(config, explicit=explicit)
        self._files = find_pair(self.config["pair"])
        self._preparation = read_preparation(self._files.folder)
        self._lock = threading.Lock()
        self._image: tuple[tuple[int, int], Callable[[Float32Array], Float32Array]] | None = None
        self._texts: Float32Array | None = None

    @classmethod
    def config_problems(cls, config: Config) -> Iterable[str]:
        """What is wrong between keys, one sentence per problem.

        Args:
            config: A complete config whose keys are valid each by itself.
        """
        both = sorted(set(config["prompts"]) & set(config["neutral_prompts"]))
        if both:
            yield f'"neutral_prompts" repeats the prompt {both[0]!r}. Remove it from one of them'
        if config["scoring"] == "softmax" and len(config["prompts"]) + len(config["neutral_prompts"]) < 2:
            yield (
                '"scoring" "softmax" compares at least two texts: add a "neutral_prompts" such as "an ordinary scene", '
                'or use "cosine"'
            )
        if config["device"] == "gpu":
            yield '"device" "gpu" is not offered: prompts are computed on the CPU'

    @classmethod
    def resolve_paths(cls, config: Config, folder: Path) -> Config:
        """The config of a file, with a pair's folder relative to that file."""
        pair = config.get("pair")
        return {**config, "pair": str(folder / pair)} if isinstance(pair, str) else config

    # What the model is --------------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        return (*self.config["prompts"], *self.config["neutral_prompts"])

    @property
    def input_spec(self) -> InputSpec:
        height, width = self._opened_image()[0]
        return InputSpec(
            height=height,
            width=width,
            n_frames=self.config["n_frames"],
            aspect=self._preparation.aspect,
            sampling=self.config["sampling"],
            fps=self.config["fps"],
            window_seconds=self.config["window_seconds"],
            stride_seconds=self.config["stride_seconds"],
            short_clip=self.config["short_clip"],
            crop_fraction=self._preparation.crop_fraction,
        )

    @property
    def scores_frames(self) -> bool:
        return True

    def _opened_image(self) -> tuple[tuple[int, int], Callable[[Float32Array], Float32Array]]:
        with self._lock:
            if self._image is None:
                threads = self.config["num_threads"] or available_cores()
                self._image = open_image_network(self._files.image, threads, self._preparation.size)
            return self._image

    # Predict ------------------------------------------------------------------------------------------------------

    def predict(self, batch: Sequence[Clip]) -> list[Prediction]:
        found = []
        for clip, scores in zip(batch, self._scores(batch), strict=True):
            rows = scores if len(scores) > 1 or self.config["n_frames"] > 1 else None
            found.append(Prediction(self._clip_scores(scores), self.labels, clip.start, clip.end, clip.source, rows))
        return found

    def embed(self, batch: Sequence[Clip]) -> Float32Array:
        """The mean of the image vectors of each clip's frames, float32 [N, D]."""
        vectors = self._image_vectors(batch)
        return np.stack([part.mean(axis=0) for part in vectors]) if vectors else np.zeros((0, 0), np.float32)

    @property
    def merges_pieces(self) -> bool:
        return True

    def merge(self, pieces: Sequence[Prediction]) -> Prediction:
        """One prediction of a video from those of its pieces: the aggregate of all frames, as of one long clip."""
        return merge_frames(pieces, self._clip_scores)

    def _clip_scores(self, scores: Float32Array) -> Float32Array:
        return aggregate(scores, self.config["aggregation"], self.config["top_fraction"])

    def _scores(self, batch: Sequence[Clip]) -> list[Float32Array]:
        """Scores float32 [T, C] of each clip's frames."""
        texts = self._text_vectors()
        return [self._compare(vectors, texts) for vectors in self._image_vectors(batch)]

    def _compare(self, vectors: Float32Array, texts: Float32Array) -> Float32Array:
        if vectors.shape[1] != texts.shape[1]:
            raise BundleError(
                f"{self._files.folder}: pictures become {vectors.shape[1]} numbers but texts {texts.shape[1]}, so "
                "the two networks are not a pair. Export both from the same model, with their projections"
            )
        cosines = np.clip(vectors @ texts.T, -1.0, 1.0)
        if self.config["scoring"] == "cosine":
            return np.asarray(np.clip(cosines, 0.0, 1.0), np.float32)
        logits = cosines.astype(np.float64) * self.config["logit_scale"]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    def _image_vectors(self, batch: Sequence[Clip]) -> list[Float32Array]:
        """Vectors of length 1, float32 [T, D], of each clip's frames."""
        _, embed = self._opened_image()
        spec, found = self.input_spec, []
        for clip in batch:
            rows = []
            for start in range(0, len(clip.frames), _MOST_WORK):
                frames = clip.frames[start : start + _MOST_WORK]
                rows.append(embed(to_model_input(frames, spec, self._preparation.mean, self._preparation.scale)))
            found.append(_unit(np.concatenate(rows), clip.source or str(self._files.image)))
        return found

    def _text_vectors(self) -> Float32Array:
        """Vectors of length 1 of the labels, float32 [C, D]: the mean over the templates."""
        with self._lock:
            if self._texts is None:
                threads = self.config["num_threads"] or available_cores()
                context, embed = open_text_network(self._files.text, threads)
                templates = self.config["templates"]
                texts = [template.replace("{}", label) for label in self.labels for template in templates]
                tokens = open_tokenizer(self._files.tokenizer, context)(texts)
                vectors = _unit(embed(*tokens), str(self._files.text)).reshape(len(self.labels), len(templates), -1)
                self._texts = _unit(vectors.mean(axis=1), str(self._files.text))
            return self._texts

    # What a pair cannot do ----------------------------------------------------------------------------------------

    def load(self, local_path: str | Path) -> None:
        """Not offered: a pair is a folder that a config names."""
        raise BundleError(f"{local_path}: prompts are not a saved model. Give the pair's folder in a config's \"pair\"")

    def save(self, local_path: str | Path) -> None:
        """Not offered: the networks stay where they are."""
        raise StorageError(f"{local_path}: prompts cannot be saved as a bundle. Keep the config and the pair's folder")

    def train(
        self,
        data_path: str | Path,
        output_path: str | Path,
        on_epoch_end: OnEpochEnd | None = None,
        options: TrainOptions = TrainOptions(),
    ) -> TrainReport:
        """Not offered: prompts need no training."""
        raise TrainingError(
            "prompts are scored without training. To learn from labelled clips, train one of the ready configs, such "
            "as cliplab train movinet_a0_base DATA --output BUNDLE"
        )

    def convert(
        self,
        output_path: str | Path,
        quantize: RequestedPrecision = "float32",
        calibration: Sequence[Clip] | None = None,
    ) -> ConversionReport:
        """Not offered: the networks are files already."""
        raise ConversionError(f"{output_path}: a pair's networks are ONNX or TensorFlow Lite already; copy its folder")


def _unit(vectors: Float32Array, name: str) -> Float32Array:
    """Rows of length 1."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise ScoresError(f"{name}: the network's vector is zero or not a finite number. Export the network again")
    return np.asarray(vectors / lengths, np.float32)
