"""ResNet18: scores single frames, pretrained on ImageNet, with torchvision's weights and names."""

from adapters.models.resnet18.adapter import ResNet18Adapter

__all__ = ["ResNet18Adapter"]
