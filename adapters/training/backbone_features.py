"""Features of labelled clips by the frozen backbone of any model, through the cache that training uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from adapters.base import FeatureSource, OnProgress
from adapters.config import Config
from adapters.data import Example, prefer_video
from adapters.errors import ConfigError, DatasetError
from adapters.records import Float32Array, InputSpec
from adapters.system import cache_dir
from adapters.training.clip_features import LabelledFeatures
from adapters.training.feature_cache import CachedFeatures, ExampleView, cached_features
from adapters.training.training_data import label_features


class SeesClips(Protocol):
    """What reading clips for a model needs of it. Every adapter has it."""

    @property
    def config(self) -> Config: ...

    @property
    def input_spec(self) -> InputSpec: ...

    @property
    def scores_frames(self) -> bool: ...


class HasFeatures(SeesClips, Protocol):
    """A model that may have a backbone. Every adapter is one."""

    def feature_source(self) -> FeatureSource | None: ...


@dataclass(frozen=True)
class ExampleFeatures:
    """Features of the labelled clips that could be read.

    Attributes:
        features: float32 [N, items, D], finite.
        examples: N clips, in the order in which they were given.
        skipped: The other clips, each with the reason.
        decoded: How many clips were decoded now; the features of the others were in the cache.
    """

    features: Float32Array
    examples: tuple[Example, ...]
    skipped: tuple[tuple[Example, str], ...]
    decoded: int

    def labelled(self, labels: Sequence[str], config: Config) -> LabelledFeatures:
        """The features with what a config's head should output for them.

        Args:
            labels: C classes in order.
            config: A complete config: its task, positive label and class weights count.
        """
        return label_features(self.features, self.examples, labels, config)


def example_features(
    adapter: HasFeatures, examples: Sequence[Example], on_progress: OnProgress | None = None
) -> ExampleFeatures:
    """Compute the features of labelled clips, or take them from the cache. The model need not be trained.

    TensorFlow is needed only where the backbone's LiteRT program is not in the cache yet. If interrupted, what was
    computed stays in the cache.

    Args:
        adapter: The model; only its backbone is run.
        examples: Clips in one view each, as they are; none is augmented.
        on_progress: Receives ("features", clips done, clips in all).

    Returns:
        The features. A clip that cannot be read, or whose features are not finite numbers, is in ``skipped``.

    Raises:
        ConfigError: The model has no backbone of its own.
        DatasetError: None of the clips can be read.
        WeightsError: The weights cannot be found, or the model came without.
        StorageError: The cache cannot be written.
    """
    source = adapter.feature_source()
    if source is None:
        raise ConfigError(
            f"{adapter.config['adapter']} has no backbone features to train a head on. Use a model that is "
            "trained on clips, such as efficientnet_lite0 or a MoViNet"
        )
    views = [ExampleView(prefer_video(example, adapter.scores_frames), 0) for example in examples]
    found = features_of_views(adapter, source, views, on_progress)
    with found.store:
        known = [number for number, view in enumerate(views) if view in found.keys]
        rows = found.of([views[number] for number in known])
    # Checked when they are stored, too; what another version stored was not.
    finite = np.asarray(np.isfinite(rows).all(axis=(1, 2)))
    kept = {number: examples[number] for number, good in zip(known, finite, strict=True) if good}
    skipped = tuple(
        (example, found.skipped.get(str(example.path), f"{example.path}: its features are not finite numbers"))
        for number, example in enumerate(examples)
        if number not in kept
    )
    if not kept:
        first = f"; the first: {skipped[0][1]}" if skipped else ""
        raise DatasetError(f"none of {len(examples)} clips can be read{first}")
    return ExampleFeatures(rows[finite], tuple(kept.values()), skipped, found.decoded)


def features_of_views(
    adapter: SeesClips, source: FeatureSource, views: Sequence[ExampleView], on_progress: OnProgress | None
) -> CachedFeatures:
    """The features of views of clips, which stay in the user's cache. See ``cached_features``.

    Args:
        adapter: The model.
        source: The model's own ``feature_source()``.
        views: The views.
        on_progress: Receives ("features", views done, views in all).
    """
    return cached_features(
        cache_dir() / "features",
        source.identity,
        adapter.input_spec,
        views,
        adapter.config["augmentation"],
        adapter.config["seed"],
        source.compute,
        source.shape,
        on_progress,
    )
