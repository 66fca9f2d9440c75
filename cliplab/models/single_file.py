"""`train ... --output X.tflite`: the one self-describing file, and the bundle that it was made from beside it as X."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from adapters.base import BaseModelAdapter
from adapters.bundle import require_own
from adapters.errors import BundleError, ConversionError, DatasetError, StorageError
from adapters.reports import ConversionReport
from cliplab.outputs import require_new


def is_single_file(output: str | Path) -> bool:
    """Whether an output is one .tflite and not a bundle directory."""
    return Path(output).suffix.lower() == ".tflite"


def bundle_path(output: str | Path) -> Path:
    """Where training writes its bundle: the output itself, or X for X.tflite."""
    return Path(output).with_suffix("") if is_single_file(output) else Path(output)


def require_places(output: str | Path, force: bool) -> None:
    """Check, before training, that the output and the bundle beside it can be written.

    Args:
        output: A bundle directory, or X.tflite whose bundle is X.
        force: Allow replacing what exists.

    Raises:
        StorageError: One of them exists without force, is not a bundle, or cannot be written.
    """
    for path in {bundle_path(output), Path(output)}:
        require_new(path, force)
    bundle = bundle_path(output)
    if bundle.is_dir():
        try:
            require_own(bundle)
        except BundleError as error:
            raise StorageError(str(error)) from error
    elif bundle.exists():
        raise StorageError(f"{bundle}: is a file, but a bundle is a folder. Use a new folder, or X.tflite")


def write_single_file(
    adapter: BaseModelAdapter,
    data: str | Path,
    output: str | Path,
    on_progress: Callable[[str, int, int], object] | None = None,
) -> ConversionReport:
    """Write the trained bundle as one .tflite of its config's precision, measured as ``convert`` measures it.

    int8 is calibrated on the training clips, and the two are compared on clips that the model was not trained on. Where
    the dataset has no validation or test clips, they are compared on those of training, and the report says so.

    Args:
        adapter: The trained model.
        data: The dataset that it was trained on.
        output: The .tflite to write; the bundle is beside it as X.
        on_progress: Called with the stage's name, the clips done and the clips in all.

    Returns:
        Sizes, speeds, score differences, agreement, and the drop in accuracy with its interval.

    Raises:
        ConversionError: The accuracy drops by more than ``max_accuracy_drop`` and by more than chance, or fewer than
            ``min_agreement`` of the windows keep their label where the config asks for that; the bundle is kept.
    """
    from adapters.config import key_schemas
    from cliplab.models.conversion import convert_measured
    from cliplab.models.measure import read_clips

    precision, bundle, config = adapter.config["quantize"], bundle_path(output), adapter.config
    default = key_schemas(config["adapter"])["min_agreement"]["default"]
    # The bundle would predict in its config's precision, and the file would be compared with itself.
    asked = {"quantize": "float32"}
    if config["min_agreement"] != default:
        asked["min_agreement"] = config["min_agreement"]
    try:
        try:
            return convert_measured(
                bundle,
                output,
                precision,
                data,
                overrides=asked,
                trust_adapters=adapter.trusts,
                on_progress=on_progress,
            )
        except DatasetError:  # no clips but those of training
            clips = read_clips(adapter, data, ("train",), config["calibration_clips"], on_progress)
            return replace(adapter.convert(output, precision, clips), clip_origin=f"training clips of {data}")
    except ConversionError as error:
        raise ConversionError(f"{error} The trained bundle was saved: {bundle}") from error
