"""A network of a dozen layers, trained and converted as EfficientNet-Lite is, in a tenth of the time."""

from __future__ import annotations

from pathlib import Path

from adapters.models.efficientnet_lite import EfficientNetLiteAdapter
from adapters.models.network import KerasBackbone
from adapters.system import import_keras

# What `open_model` and the commands take where they would take "efficientnet_lite0".
SMALL_NETWORK = str(Path(__file__).with_suffix(".json"))


class SmallNetworkAdapter(EfficientNetLiteAdapter):
    """EfficientNet-Lite's adapter with its own kinds of layers, and few of them. Its weights are random."""

    family = "small_network"
    backbone_keys = ("imgz",)

    def build_backbone(self) -> KerasBackbone:
        keras, size = import_keras(), self.config["imgz"]
        images = x = keras.Input((size, size, 3), name="images")
        convolutions = {
            "stem": keras.layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv"),
            "depthwise": keras.layers.DepthwiseConv2D(3, 2, padding="same", use_bias=False, name="depthwise_conv"),
            "head": keras.layers.Conv2D(256, 1, use_bias=False, name="head_conv"),
        }
        for name, layer in convolutions.items():
            x = keras.layers.BatchNormalization(name=f"{name}_bn")(layer(x))
            x = keras.layers.ReLU(6.0, name=f"{name}_relu6")(x)
        features = keras.layers.GlobalAveragePooling2D(name="features")(x)
        return KerasBackbone(keras.Model(images, features, name="small_network"))
