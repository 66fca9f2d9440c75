"""The EfficientNet-Lite adapter: which network, which weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.litert import GraphWriter
from adapters.models.frame_adapter import FrameModelAdapter
from adapters.models.network import BackboneShapes, KerasBackbone, Pretrained, Variables

IMAGENET_LABELS = Path(__file__).parent.parent / "labels" / "imagenet1000.txt"


class EfficientNetLiteAdapter(FrameModelAdapter):
    """EfficientNet-Lite (Tan and Le 2019; the Lite variants without squeeze-excitation, with ReLU6)."""

    schema_path = Path(__file__).with_name("schema.json")
    own_labels_path = IMAGENET_LABELS
    backbone_keys = ("variant", "imgz")
    family = "efficientnet_lite"
    network_format = 1

    @property
    def image_size(self) -> int:
        from adapters.models.efficientnet_lite.network import NATIVE_SIZES

        return NATIVE_SIZES[self.config["variant"]] if self.config["imgz"] == "native" else super().image_size

    def build_backbone(self) -> KerasBackbone:
        from adapters.models.efficientnet_lite.network import build_backbone

        return KerasBackbone(build_backbone(self.image_size, self.image_size, self.config["variant"]))

    def backbone_shapes(self) -> BackboneShapes | None:
        from adapters.models.efficientnet_lite.program import backbone_shapes

        # A subclass that builds another network has it converted.
        own = type(self).build_backbone is EfficientNetLiteAdapter.build_backbone
        return backbone_shapes(self.config["variant"]) if own else None

    def write_backbone(self, writer: GraphWriter, values: Variables) -> int:
        from adapters.models.efficientnet_lite.program import write_backbone

        return write_backbone(writer, values, self.config["variant"])

    def published_path(self) -> Path:
        from adapters.models.weights import find_package_weights

        return find_package_weights(f"efficientnet_{self.config['variant']}")

    def read_weights(self, path: Path) -> Pretrained:
        from adapters.models.efficientnet_lite.keras_names import keras_to_variables
        from adapters.models.efficientnet_lite.torch_names import torch_to_variables
        from adapters.models.weights import read_weights_file

        variant = self.config["variant"]
        return read_weights_file(
            path,
            lambda state: torch_to_variables(state, variant),
            lambda data, name: keras_to_variables(data, name, variant),
        )

    def torch_state(self) -> dict[str, Any]:
        """Named as in the published packages; a head with hidden layers is ``_fc`` as an nn.Sequential."""
        from adapters.models.efficientnet_lite.torch_names import backbone_to_torch
        from adapters.models.weights import head_tensors

        self._require_trained()
        values = self.variables()
        return backbone_to_torch(values, self.config["variant"]) | head_tensors(
            values, self.network_config["head"], "_fc"
        )
