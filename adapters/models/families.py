"""Which network a file of weights belongs to, among the families whose weights come in files of others."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from adapters.config import Config, adapter_class
from adapters.errors import WeightsError
from adapters.models.frame_adapter import FrameModelAdapter
from adapters.models.weights import read_weights_bytes

_LITE = "adapters.models.efficientnet_lite:EfficientNetLiteAdapter"
_MOBILENET = "adapters.models.mobilenet:MobileNetAdapter"
# The networks that are tried, those first whose names alone decide.
CANDIDATES: tuple[Config, ...] = (
    *({"adapter": _LITE, "variant": variant} for variant in ("lite0", "lite1", "lite2")),
    {"adapter": "adapters.models.resnet18:ResNet18Adapter"},
    *({"adapter": _MOBILENET, "variant": variant} for variant in ("v2", "v3_small", "v3_large")),
)


def config_of_weights(path: Path) -> Config:
    """The config of the network that a file of weights belongs to.

    Args:
        path: A file of Keras, a PyTorch checkpoint or a .safetensors.

    Returns:
        "adapter", "variant" if there are several, and "weights".

    Raises:
        WeightsError: The file cannot be read, or is of no network that is tried; the message has what did not fit.
        MissingExtraError: A package that reads such files is not installed.
    """
    read_weights_bytes(path)  # what is wrong with the file itself is said first
    reasons = []
    for candidate in CANDIDATES:
        config = {**candidate, "weights": str(path)}
        adapter = cast(type[FrameModelAdapter], adapter_class(candidate["adapter"]))(config)
        try:
            adapter.read_weights(path)
        except WeightsError as error:
            reasons.append(str(error))
        else:
            return config
    raise WeightsError(
        f"{path}: does not fit any supported network: EfficientNet-Lite 0 to 2, ResNet18 and "
        f"MobileNet V2 and V3. For the first: {reasons[0]}. A whole Keras network with other layers can predict after "
        "cliplab convert"
    )
