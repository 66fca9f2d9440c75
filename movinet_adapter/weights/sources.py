"""What ``"weights"`` in a MoViNet config means: variables by name, from a local path or as published.

Sources, in this order: a local path (a bundle directory, a SavedModel folder, a checkpoint, an archive of one, a
.safetensors, a published .tflite); and for "kinetics-600" the cache, TF Hub, and the checkpoint archive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.bundle import is_bundle, read_bundle
from adapters.errors import ConfigError, WeightsError
from adapters.models.weights import read_safetensors, read_weights_bytes, weights_kind
from adapters.system import did_you_mean
from movinet_adapter.architecture import Architecture, architecture
from movinet_adapter.weights import cache as cache
from movinet_adapter.weights.archives import unpacked
from movinet_adapter.weights.download import (
    CHECKPOINTS_HUB_VERSION,
    CHECKPOINTS_VARIABLE,
    HUB_VARIABLE,
    FetchError,
    checkpoint_url,
    downloaded,
    hub_handle,
    hub_saved_model,
)
from movinet_adapter.weights.mapping import Variables, Variant, class_count, fit_by_name, fit_by_place

PUBLISHED = "kinetics-600"
LABELS_PATH = Path(__file__).parents[1] / "labels" / "kinetics600.txt"
_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_INDEX = ".index"
_KINDS = (
    "a bundle, a SavedModel folder, a checkpoint, a .tar.gz of either, a .safetensors of our names, a .h5 of "
    "tf-models' MovinetClassifier or a published int8 stream .tflite"
)


@dataclass(frozen=True, eq=False)
class Weights:
    """Variables of a MoViNet.

    Attributes:
        variables: float32 arrays by name, in the network's order.
        source: Where they came from, for messages and model cards.
        labels: The classifier's classes in order; None if they are unknown or there is no classifier.
        digest: The SHA-256 of the variables, the same for the same values from any source.
        variant: The variant of the ``architecture`` that they belong to.
    """

    variables: Variables
    source: str
    labels: tuple[str, ...] | None
    digest: str
    variant: Variant = "float"


def resolve_weights(config: Mapping[str, Any]) -> Weights:
    """The weights that a config names.

    The first call for published weights, a SavedModel or a checkpoint imports TensorFlow and takes up to a minute; the
    result is kept in ``cache_dir()/movinet``, and then neither TensorFlow nor the network is needed.

    Args:
        config: ``weights`` ("kinetics-600" or a path), ``model_id`` (a0 to a5), ``model_mode`` (base or stream) and
            ``hub_version`` (3).

    Raises:
        ConfigError: A value is not allowed.
        WeightsError: Weights cannot be found (the message lists what was tried), are damaged, or do not fit the
            network.
        BundleError: A bundle is damaged.
        MissingExtraError: A first import needs TensorFlow, which is not installed.
        StorageError: The cache cannot be written.
    """
    of = architecture(config.get("model_id", "a0"), config.get("model_mode", "base"))
    version, name = config.get("hub_version", 3), config.get("weights", PUBLISHED)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(f'"hub_version" is {version!r} and must be a whole number of at least 1; 3 is the latest.')
    if name == PUBLISHED:
        return _published(of, version)
    if not isinstance(name, (str, Path)) or not str(name):
        raise ConfigError(f'"weights" is {name!r} and must be "{PUBLISHED}", "random" or a path.')
    return _local(of, Path(name).expanduser())


def kinetics_labels() -> tuple[str, ...]:
    """The 600 classes of Kinetics-600 in the order of the published models' logits."""
    return tuple(LABELS_PATH.read_text(encoding="utf-8").splitlines())


# A local path ---------------------------------------------------------------------------------------------------------


def _local(of: Architecture, path: Path) -> Weights:
    if path.is_dir() and is_bundle(path):
        return _from_bundle(of, path)
    if path.is_dir():
        return _from_folder(of, path, str(path))
    if path.with_name(path.name + _INDEX).is_file() or (path.suffix == _INDEX and path.is_file()):
        prefix = path.with_suffix("") if path.suffix == _INDEX else path
        return _from_checkpoint(of, prefix, str(prefix))
    if not path.is_file():
        hint = did_you_mean(str(path), (PUBLISHED, "random"))
        raise WeightsError(
            f'"weights" is {str(path)!r}: there is no such file or folder.{hint} Give "{PUBLISHED}", "random", or the '
            f"path of {_KINDS}."
        )
    if path.name.endswith(_ARCHIVES):
        return _from_archive(of, path, str(path))
    if path.suffix == ".safetensors":
        return _named(of, read_safetensors(path), str(path))
    if path.suffix == ".tflite":
        return _from_tflite(of, path)
    data = read_weights_bytes(path)  # its true fault first: a web page, a pointer of Git LFS, an empty file
    if weights_kind(data) == "hdf5":
        return _from_keras(of, path, data)
    raise WeightsError(f"{path} is not a known type of weights file. Give {_KINDS}.")


def _from_bundle(of: Architecture, path: Path) -> Weights:
    bundle = read_bundle(path)
    labels = bundle.config.get("labels")
    weights = _named(of, bundle.weights(), f"bundle {path}")
    if labels and class_count(weights.variables) == len(labels):
        return replace(weights, labels=tuple(labels))
    return weights


def _named(of: Architecture, values: Mapping[str, Any], source: str) -> Weights:
    variables, variant = fit_by_name(of, values, source)
    return _weights(variables, source, variant=variant)


def _from_tflite(of: Architecture, path: Path) -> Weights:
    from movinet_adapter.weights.tflite_weights import read_tflite_weights

    if of.mode != "stream":
        raise WeightsError(
            f"{path}: the published .tflite are stream models, but MoViNet {of.model_id} {of.mode} is configured. Set "
            '"model_mode" to "stream", or give other weights.'
        )
    return _weights(read_tflite_weights(path, of.model_id), str(path), variant="int8")


def _from_keras(of: Architecture, path: Path, data: bytes) -> Weights:
    from movinet_adapter.weights.keras_weights import read_keras_weights

    return _weights(read_keras_weights(data, of, str(path)), str(path))


def _from_folder(of: Architecture, path: Path, source: str) -> Weights:
    """A SavedModel, or a folder of checkpoints, of which the latest is taken."""
    if (path / "saved_model.pb").is_file():
        return _from_saved_model(of, path, source)
    prefixes = sorted(path.glob(f"*{_INDEX}"), key=lambda file: (file.stat().st_mtime_ns, file.name))
    if not prefixes:
        raise WeightsError(
            f"{path} is not a bundle (bundle.json), a SavedModel (saved_model.pb) or a folder of checkpoints "
            "(*.index). Give the folder that directly contains one of these files."
        )
    return _from_checkpoint(of, _latest_named(path) or prefixes[-1].with_suffix(""), source)


def _latest_named(folder: Path) -> Path | None:
    """The checkpoint that the folder's ``checkpoint`` file calls the latest, where that is one of its own."""
    state = folder / "checkpoint"
    for line in state.read_text(errors="replace").splitlines() if state.is_file() else ():
        key, _, value = line.partition(":")
        prefix = folder / Path(value.strip().strip('"')).name
        if key == "model_checkpoint_path" and prefix.with_name(prefix.name + _INDEX).is_file():
            return prefix
    return None


def _from_archive(of: Architecture, path: Path, source: str) -> Weights:
    return _imported(of, cache.files_digest({"archive": path}), source, lambda: _read_archive(of, path, source))


def _read_archive(of: Architecture, path: Path, where: str) -> Variables:
    from movinet_adapter.weights.saved_model import read_saved_model

    with unpacked(path) as folder:
        if found := sorted(folder.rglob("saved_model.pb")):
            return read_saved_model(str(found[0].parent), of, where)
        if found := sorted(folder.rglob(f"*{_INDEX}")):
            prefix = _latest_named(found[-1].parent) or found[-1].with_suffix("")
            return _read_checkpoint(of, prefix, where)
    raise WeightsError(
        f"{where} holds neither a SavedModel (saved_model.pb) nor a checkpoint (*.index). Give an archive of either."
    )


def _from_saved_model(of: Architecture, path: Path, source: str) -> Weights:
    from movinet_adapter.weights.saved_model import read_saved_model

    files = {"saved_model.pb": path / "saved_model.pb"}
    files |= {file.name: file for file in (path / "variables").glob("variables.*")}
    return _imported(of, cache.files_digest(files), source, lambda: read_saved_model(str(path), of, str(path)))


def _from_checkpoint(of: Architecture, prefix: Path, source: str) -> Weights:
    files = {file.name.removeprefix(prefix.name): file for file in prefix.parent.glob(f"{prefix.name}.*")}
    return _imported(of, cache.files_digest(files), source, lambda: _read_checkpoint(of, prefix, str(prefix)))


def _read_checkpoint(of: Architecture, prefix: Path, where: str) -> Variables:
    from movinet_adapter.weights.checkpoint_graph import open_checkpoint

    return fit_by_place(of, open_checkpoint(str(prefix), where))


def _imported(of: Architecture, identity: str, source: str, read: Callable[[], Variables]) -> Weights:
    """What was imported from files of this content before, else read now and kept."""
    kept, _ = cache.find_weights(of, identity)
    if kept is not None:
        return _weights(kept.variables, source, kept.digest)
    variables = read()
    return _weights(variables, source, cache.store_weights(of, identity, variables, source))


# As published ---------------------------------------------------------------------------------------------------------


def _published(of: Architecture, version: int) -> Weights:
    """From the cache, TF Hub or the checkpoint archive; the next only where one fails."""
    handle = hub_handle(of, version)
    kept, reason = cache.find_weights(of, handle)
    if kept is not None:
        return _weights(kept.variables, kept.source, kept.digest)
    tried = [f"the cache: {reason}"]
    for source, read in ((handle, _read_hub), (checkpoint_url(of), _read_checkpoint_archive)):
        if read is _read_checkpoint_archive and version != CHECKPOINTS_HUB_VERSION:
            tried.append(f"{source}: not tried, since it only has the weights of hub_version {CHECKPOINTS_HUB_VERSION}")
            continue
        try:
            variables = read(of, source)
        except FetchError as error:
            tried.append(f"{source}: {error}")
            continue
        return _weights(variables, source, cache.store_weights(of, handle, variables, source))
    raise WeightsError(
        f'weights "{PUBLISHED}" for MoViNet {of.model_id} {of.mode}, hub_version {version}, could not be downloaded '
        "or read. Tried:\n"
        + "\n".join(f"  {line}" for line in tried)
        + f"\nConnect to the network and try again; or download {handle}?tf-hub-format=compressed elsewhere and give "
        "the "
        f'.tar.gz or its unpacked folder in "weights"; or name a mirror in {HUB_VARIABLE} or {CHECKPOINTS_VARIABLE}; '
        'or set "weights" to a published .tflite, a bundle or "random". See docs/weights.md.'
    )


def _read_hub(of: Architecture, handle: str) -> Variables:
    from movinet_adapter.weights.saved_model import read_saved_model

    with hub_saved_model(handle) as folder:
        return read_saved_model(folder, of, f"{handle} ({folder})")


def _read_checkpoint_archive(of: Architecture, url: str) -> Variables:
    with downloaded(url) as path:
        return _read_archive(of, path, url)


def _weights(variables: Variables, source: str, digest: str | None = None, variant: Variant = "float") -> Weights:
    labels = kinetics_labels()
    return Weights(
        variables=variables,
        source=source,
        # Nothing in a file names its classes; 600 of them are taken to be those of Kinetics-600.
        labels=labels if class_count(variables) == len(labels) else None,
        digest=digest or cache.content_digest(variables),
        variant=variant,
    )
