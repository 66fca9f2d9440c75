"""The MobileNet adapter: which network, which weights."""

from __future__ import annotations

from pathlib import Path

from adapters.models.frame_adapter import FrameModelAdapter
from adapters.models.network import KerasBackbone, Pretrained

IMAGENET_LABELS = Path(__file__).parent.parent / "labels" / "imagenet1000.txt"


class MobileNetAdapter(FrameModelAdapter):
    """MobileNet V2 or V3 as tf_keras.applications builds them."""

    schema_path = Path(__file__).with_name("schema.json")
    own_labels_path = IMAGENET_LABELS
    backbone_keys = ("variant", "imgz")
    family = "mobilenet"
    network_format = 1

    def build_backbone(self) -> KerasBackbone:
        from adapters.models.mobilenet.network import build_backbone

        return KerasBackbone(build_backbone(self.config["imgz"], self.config["variant"]))

    def published_path(self) -> Path:
        from adapters.models.weights import find_published_weights

        return find_published_weights(f"mobilenet_{self.config['variant']}")

    def read_weights(self, path: Path) -> Pretrained:
        from adapters.models.mobilenet.network import read_keras_weights
        from adapters.models.weights import read_weights_file

        variant = self.config["variant"]
        return read_weights_file(path, from_keras=lambda data, name: read_keras_weights(data, name, variant))
