"""EfficientNet-Lite: scores single frames, pretrained on ImageNet."""

from adapters.models.efficientnet_lite.adapter import EfficientNetLiteAdapter

__all__ = ["EfficientNetLiteAdapter"]
