"""An adapter's network as its config describes it, and the weights before any training."""

from __future__ import annotations

from adapters.errors import WeightsError
from adapters.models.network import Network, Variables
from adapters.models.protocols import DescribesNetwork
from adapters.models.written_programs import variable_shapes
from adapters.training import VARIABLE_PREFIX, build_head, output_units


def build_network(adapter: DescribesNetwork) -> Network:
    """The network of the adapter's config, with fresh variables.

    Args:
        adapter: The model.
    """
    backbone = adapter.build_backbone()
    units = output_units(adapter.config, adapter.labels)
    return Network(backbone, *build_head(adapter.network_config, backbone.feature_size, units))


def initial_variables(adapter: DescribesNetwork, network: Network | None = None) -> Variables:
    """The variables before any training: random ones by the seed, under published ones if the config names some.

    Args:
        adapter: The model.
        network: The adapter's network, for names and shapes; None builds one.

    Returns:
        float32 arrays by name.

    Raises:
        WeightsError: The published weights cannot be found or do not fit the network.
    """
    config = adapter.config
    shapes = variable_shapes(adapter)
    if shapes is not None:
        values = adapter.drawn_variables(shapes)
    else:
        values = adapter.random_variables(adapter.build_network() if network is None else network)
    if config["weights"] == "random":
        return values
    pretrained = adapter.pretrained()
    published = dict(pretrained.backbone)
    if adapter.brings_classifier:
        published |= pretrained.classifier
    else:
        # A new classifier starts from no opinion: where there are few clips, what a random one thinks of directions
        # that no clip shows would never be unlearned.
        values[f"{VARIABLE_PREFIX}output/kernel"][:] = 0
    _require_fit(config["weights"], values, published)
    return {**values, **published}


def _require_fit(where: str, values: Variables, published: Variables) -> None:
    """WeightsError where the published weights are not those of the network; it names the first that differs."""
    unknown = sorted(set(published) - set(values))
    missing = sorted(name for name in values if name not in published and not name.startswith(VARIABLE_PREFIX))
    other = [name for name in published if name in values and published[name].shape != values[name].shape]
    if missing or unknown:
        more = len(missing or unknown) - 1
        what = f"it has no variable {missing[0]!r}" if missing else f"variable {unknown[0]!r} is not in the network"
        raise WeightsError(f"{where}: does not fit the network: {what}" + (f" (and {more} more)" if more else ""))
    if other:
        raise WeightsError(
            f"{where}: does not fit the network: {other[0]!r} is {list(values[other[0]].shape)} in the network and "
            f"{list(published[other[0]].shape)} in the file. Give weights of this network and size"
        )
