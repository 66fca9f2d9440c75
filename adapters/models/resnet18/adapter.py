"""The ResNet18 adapter: which network, which weights, and the way to PyTorch and back."""

from __future__ import annotations

from pathlib import Path

from adapters.errors import WeightsError
from adapters.models.frame_adapter import FrameModelAdapter
from adapters.models.network import KerasBackbone, Pretrained, Variables
from adapters.models.resnet18.network import build_backbone, torch_to_variables, variables_to_torch
from adapters.models.state import LoadedModel
from adapters.models.weights import (
    TORCH_SUFFIXES,
    find_published_weights,
    fitting_classifier,
    read_weights_file,
    write_state_dict,
)

IMAGENET_LABELS = Path(__file__).parent.parent / "labels" / "imagenet1000.txt"


class ResNet18Adapter(FrameModelAdapter):
    """ResNet18 (He et al. 2016) as torchvision has it. ``load`` and ``save`` also take its state dicts, .pth files."""

    schema_path = Path(__file__).with_name("schema.json")
    own_labels_path = IMAGENET_LABELS
    backbone_keys = ("imgz",)
    family = "resnet18"
    network_format = 1

    def build_backbone(self) -> KerasBackbone:
        return KerasBackbone(build_backbone(self.config["imgz"], self.config["imgz"]))

    def pretrained(self) -> Pretrained:
        name = self.config["weights"]
        path = find_published_weights("resnet18") if name == "imagenet" else Path(name).expanduser()
        found = read_weights_file(path, torch_to_variables)
        fitting = fitting_classifier(found.classifier, self.config, self.labels)
        return Pretrained(found.backbone, found.classifier if fitting is None else fitting)

    @property
    def brings_classifier(self) -> bool:
        if self.config["labels"] is None or self.config["weights"] in ("imagenet", "random"):
            return self.config["labels"] is None
        return fitting_classifier(self.pretrained().classifier, self.config, self.labels) is not None

    # To PyTorch and back ------------------------------------------------------------------------------------------

    def load(self, local_path: str | Path) -> None:
        """Load a bundle, a .tflite, or a .pth state dict whose classes are the config's labels in their order."""
        path = Path(local_path)
        if path.suffix not in TORCH_SUFFIXES:
            return super().load(path)
        other = type(self)({**self.given, "weights": str(path)})
        found = other.pretrained()
        if fitting_classifier(found.classifier, other.config, other.labels) is None:
            raise WeightsError(
                f"{path}: its classifier {_shapes(found.classifier)} is not for {len(other.labels)} labels with "
                f'"positive_label" {other.config["positive_label"]!r} and "head" {other.config["head"]!r}. Name the '
                'classes of its outputs, in their order, in "labels", and leave "head" out'
            )
        self.config, self.metrics, self.trained = other.config, {}, True
        self._model = LoadedModel(variables={**found.backbone, **found.classifier})
        return None

    def save(self, local_path: str | Path) -> None:
        """Write a bundle, or to a name that ends in .pth, a state dict that torchvision's resnet18 loads."""
        path = Path(local_path)
        if path.suffix not in TORCH_SUFFIXES:
            return super().save(path)
        self._require_trained()
        return write_state_dict(path, variables_to_torch(self.variables()))


def _shapes(classifier: Variables) -> str:
    return ", ".join(f"{name} {list(value.shape)}" for name, value in classifier.items()) or "(there is none)"
