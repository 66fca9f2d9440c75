"""What training asks of an adapter, its network and its backbone. Adapters of ``adapters.models`` have all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from adapters.base import FeatureSource
from adapters.config import Config
from adapters.records import Clip, Float32Array, InputSpec


class TunableBackbone(Protocol):
    """Items to features, some of whose layers can be trained."""

    @property
    def layer_count(self) -> int:
        """What ``fine_tune_layers`` and ``freeze_layers`` count."""

    def tune(self, layers: int) -> tuple[Sequence[Any], Sequence[Any]]:
        """Make the last layers trainable and freeze the others.

        Args:
            layers: How many of the last layers.

        Returns:
            The trainable tf.Variables, and their layers' batch statistics.
        """

    def __call__(self, items: Any, training: bool = False) -> Any:
        """float32 [B, *item_shape] to features [B, D]; batch normalisation in inference mode unless training."""


class TrainableNetwork(Protocol):
    """A backbone and a head, whose tf.Variables ``assign`` and ``variables`` take and give by name."""

    @property
    def backbone(self) -> TunableBackbone: ...

    @property
    def head(self) -> Any:
        """A tf_keras model with the head's layers; ``scores`` applies it."""

    @property
    def dropout_step(self) -> Any:
        """See ``build_head``."""

    @property
    def scores_items(self) -> bool:
        """Whether the head scores each item by itself; if not, it sees those of a clip together."""

    def scores(self, features: Any, training: bool = False) -> Any:
        """float32 tensor [B, items, D] to scores [B, items, units], or [B, 1, units] of the items together."""


class Trainable(Protocol):
    """An adapter that ``train_model`` can train."""

    metrics: dict[str, Any]
    config: Config

    @property
    def trained(self) -> bool:
        """Whether it has a head for its labels, so that training goes on from there."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def input_spec(self) -> InputSpec: ...

    @property
    def scores_frames(self) -> bool: ...

    @property
    def scores_items(self) -> bool:
        """Whether the head scores each item of a clip by itself."""

    def items(self, clip: Clip) -> Float32Array:
        """A clip preprocessed: float32 [items, *item_shape]."""

    def feature_identity(self) -> Config:
        """What cached features follow from, beside the clip."""

    def feature_source(self) -> FeatureSource:
        """The backbone alone, and how its features are cached."""

    def require_weights(self) -> None:
        """Find the weights that the config names. WeightsError if they cannot be found."""

    def begin_training(self, labels: Sequence[str]) -> None:
        """Take the class order."""

    def build_network(self) -> TrainableNetwork:
        """The network of the config, with fresh variables."""

    def variables(self, network: Any = None) -> dict[str, Float32Array]:
        """Every variable by name, to start from. WeightsError where the model came without."""

    def adopt(self, variables: dict[str, Float32Array], calibration: Sequence[Clip]) -> None:
        """Take over trained variables.

        Args:
            variables: float32 arrays by name.
            calibration: Clips for int8.
        """

    def save_with(self, local_path: str | Path, extra: Mapping[str, bytes]) -> None:
        """Write the bundle with other files in it.

        Args:
            local_path: The bundle's folder.
            extra: The bytes of other files by relative name.
        """
