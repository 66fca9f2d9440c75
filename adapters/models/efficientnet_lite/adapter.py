"""The EfficientNet-Lite adapter: which network, which weights."""

from __future__ import annotations

from pathlib import Path

from adapters.models.frame_adapter import FrameModelAdapter
from adapters.models.network import KerasBackbone, Pretrained

IMAGENET_LABELS = Path(__file__).parent.parent / "labels" / "imagenet1000.txt"


class EfficientNetLiteAdapter(FrameModelAdapter):
    """EfficientNet-Lite (Tan and Le 2019; the Lite variants without squeeze-excitation, with ReLU6)."""

    schema_path = Path(__file__).with_name("schema.json")
    own_labels_path = IMAGENET_LABELS
    backbone_keys = ("variant", "imgz")
    family = "efficientnet_lite"
    network_format = 1

    def build_backbone(self) -> KerasBackbone:
        from adapters.models.efficientnet_lite.network import build_backbone

        size = self.config["imgz"]
        return KerasBackbone(build_backbone(size, size, self.config["variant"]))

    def pretrained(self) -> Pretrained:
        from adapters.models.efficientnet_lite.network import torch_to_variables
        from adapters.models.weights import find_package_weights, read_weights_file

        name = self.config["weights"]
        path = find_package_weights(f"efficientnet_{self.config['variant']}") if name == "imagenet" else Path(name)
        return read_weights_file(path, torch_to_variables)
