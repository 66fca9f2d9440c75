"""The ResNet18 adapter: which network, which weights, and the way to PyTorch and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapters.errors import WeightsError
from adapters.litert import GraphWriter
from adapters.models.frame_adapter import FrameModelAdapter, classifier_text
from adapters.models.network import BackboneShapes, KerasBackbone, Pretrained, Variables
from adapters.models.resnet18.network import (
    CLASSIFIER,
    backbone_to_torch,
    build_backbone,
    torch_to_variables,
    variables_to_torch,
)
from adapters.models.state import LoadedModel
from adapters.models.weights import (
    find_published_weights,
    fitting_classifier,
    head_tensors,
    is_torch_path,
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

    def backbone_shapes(self) -> BackboneShapes | None:
        from adapters.models.resnet18.program import backbone_shapes

        # A subclass that builds another network has it converted.
        return backbone_shapes() if type(self).build_backbone is ResNet18Adapter.build_backbone else None

    def write_backbone(self, writer: GraphWriter, values: Variables) -> int:
        from adapters.models.resnet18.program import write_backbone

        return write_backbone(writer, values)

    def published_path(self) -> Path:
        return find_published_weights("resnet18")

    def read_weights(self, path: Path) -> Pretrained:
        return read_weights_file(path, torch_to_variables)

    # To PyTorch and back ------------------------------------------------------------------------------------------

    def load(self, local_path: str | Path) -> None:
        """Load a bundle, a .tflite, or a PyTorch or .safetensors file whose classes are the config's labels."""
        path = Path(local_path)
        if path.is_dir() or not (is_torch_path(path) or path.suffix == ".safetensors"):
            return super().load(path)
        other = type(self)({**self.given, "weights": str(path)})
        found = other.pretrained()
        if fitting_classifier(found.classifier, other.config, other.labels) is None:
            raise WeightsError(
                f"{path}: {classifier_text(found.classifier)}, so it does not fit {len(other.labels)} labels with "
                f'"positive_label" {other.config["positive_label"]!r} and "head" {other.config["head"]!r}. List the '
                'classes of its outputs, in their order, in "labels", and leave "head" out'
            )
        self.config, self.metrics, self.trained = other.config, {}, True
        self._model = LoadedModel(variables={**found.backbone, **found.classifier})
        return None

    def save(self, local_path: str | Path) -> None:
        """Write a bundle, or to a name that ends in .pth, a state dict that torchvision's resnet18 loads.

        ``torch_state`` also has the tensors of heads with hidden layers, which torchvision's network lacks.
        """
        path = Path(local_path)
        if not is_torch_path(path):
            return super().save(path)
        self._require_trained()
        return write_state_dict(path, variables_to_torch(self.variables()))

    def torch_state(self) -> dict[str, Any]:
        """Named as torchvision names them; a head with hidden layers is ``fc`` as an nn.Sequential."""
        self._require_trained()
        values = self.variables()
        return backbone_to_torch(values) | head_tensors(values, self.network_config["head"], CLASSIFIER)
