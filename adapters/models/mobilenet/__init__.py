"""MobileNet V2 and V3: score single frames, pretrained on ImageNet, at a fraction of ResNet18's work."""

from adapters.models.mobilenet.adapter import MobileNetAdapter

__all__ = ["MobileNetAdapter"]
