"""tf-models-official's own MoViNet with the variables of one of ours: to compare with, to export, to time.

It computes far slower than ours and takes up to a minute to build, so nothing on the way to a prediction uses it.
"""

from __future__ import annotations

from typing import Any

from adapters.errors import MissingExtraError, WeightsError
from adapters.system import captured_stderr, import_keras
from movinet_adapter.architecture import variable_specs
from movinet_adapter.network import MoViNetNetwork


def build_reference(network: MoViNetNetwork, *, external_states: bool = False) -> Any:
    """tf-models' ``MovinetClassifier`` with a copy of the network's values.

    Args:
        network: A network of ours.
        external_states: For stream mode: its input is {"image": [1, n, height, width, 3], **states} and its output
            (logits, states).

    Raises:
        MissingExtraError: tf-models-official is not installed.
    """
    _, movinet_model = _import_movinet()
    model = movinet_model.MovinetClassifier(
        build_reference_backbone(network, external_states=external_states),
        num_classes=network.num_classes,
        activation=network.architecture.classifier_activation,
        output_states=external_states,
        input_specs={"image": _input_spec(network, external_states)},
    )
    copy_values(network, model)
    return model


def build_reference_backbone(network: MoViNetNetwork, *, external_states: bool = False) -> Any:
    """tf-models' ``Movinet``, all but the classifier: frames to (each layer's output by name, states)."""
    movinet, _ = _import_movinet()
    of = network.architecture
    stream = of.mode == "stream"
    backbone = movinet.Movinet(
        model_id=of.model_id,
        causal=stream,
        conv_type="2plus1d" if stream else "3d",
        se_type={"time": "3d", "time_and_frame": "2plus3d", "none": "none"}[of.squeeze_excite],
        activation=of.activation,
        gating_activation=of.gating,
        use_positional_encoding=of.positions,
        use_sync_bn=False,
        use_external_states=external_states,
        input_specs=_input_spec(network, external_states),
    )
    copy_values(network, backbone, without_classifier=True)
    return backbone


def copy_values(network: MoViNetNetwork, model: Any, *, without_classifier: bool = False) -> None:
    """Set the variables of tf-models' model from ours, by order.

    Args:
        network: A network of ours.
        model: tf-models' network of the same architecture.
        without_classifier: Whether the model is the backbone alone.

    Raises:
        WeightsError: A variable does not fit.
    """
    specs = variable_specs(network.architecture, network.num_classes)
    if without_classifier:
        specs = [spec for spec in specs if not spec.name.startswith("classifier/")]
    if len(specs) != len(model.variables):
        raise WeightsError(
            f"{network.name} has {len(specs)} variables, but tf-models' network has {len(model.variables)}. "
            "Use the version of tf-models-official in the train extra."
        )
    for spec, variable in zip(specs, model.variables, strict=True):
        if tuple(variable.shape) != spec.shape or variable.trainable != spec.trainable:
            raise WeightsError(
                f"{network.name}: {spec.name} is {list(spec.shape)}, but tf-models has {variable.name} "
                f"{list(variable.shape)} in its place. Use the version of tf-models-official in the train extra."
            )
        variable.assign(network.named[spec.name])


def _input_spec(network: MoViNetNetwork, external_states: bool) -> Any:
    size = [network.height, network.width] if external_states else [None, None]
    return import_keras().layers.InputSpec(shape=[1 if external_states else None, None, *size, 3])


def _import_movinet() -> tuple[Any, Any]:
    try:
        with captured_stderr():
            from official.projects.movinet.modeling import movinet, movinet_model
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "official":
            raise  # it is installed, and something that it needs is not
        raise MissingExtraError("tf-models-official", "train") from error
    return movinet, movinet_model
