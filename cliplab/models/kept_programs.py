"""Programs that a bundle keeps beside its own, each with what it costs on labelled clips, and the choice among them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from adapters.choices import Precision, WantedPrecision
from adapters.errors import BundleError, ConfigError
from adapters.records import as_precision
from adapters.reports import ConversionReport

if TYPE_CHECKING:
    from adapters.protocols import StoredModel

WANTED: tuple[WantedPrecision, ...] = get_args(WantedPrecision)
CONVERSIONS = "conversions"  # in metrics.json: precision -> what convert measured
# With fewer clips "no answer changed" says nothing of a drop of a tenth: the upper limit of 95% confidence for 0 of n
# is about 3 / n (Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?").
LEAST_CLIPS = 30


def keep_program(bundle: Path, converted: Path, report: ConversionReport) -> None:
    """Write a converted program into the bundle that it was made of, with the figures of its conversion.

    The bundle's own program, config and weights stay. Its digest is another one afterwards.

    Args:
        bundle: The bundle's folder.
        converted: The self-describing .tflite that was made of it.
        report: What was measured on it.

    Raises:
        BundleError: One of the two is damaged.
        StorageError: The bundle cannot be written; it stays as it was.
    """
    from adapters.bundle import measure_tolerance, read_bundle, render_card, write_bundle
    from adapters.inference import open_model
    from adapters.litert import read_description, without_description

    data = converted.read_bytes()
    found, described, program = read_bundle(bundle), read_description(data), without_description(data)
    golden = found.golden
    if golden is not None:
        golden = measure_tolerance(golden, open_model(converted, {"num_threads": 1}).predict, report.quantize)
    kept = {**_conversions(found.metrics), report.quantize: _figures(report, program)}
    metrics = {**found.metrics, CONVERSIONS: kept}
    write_bundle(
        bundle,
        config=found.config,
        programs={
            **{name: path.read_bytes() for name, path in found.programs.items()},
            str(described["program"]): program,
        },
        weights=found.weights() if found.has_weights else None,
        metrics=metrics,
        golden=golden,
        card=render_card(found.config, found.config["labels"], metrics, golden),
        extra={name: path.read_bytes() for name, path in found.extra.items()},
    )


def require_bundle(model: object) -> Path:
    """The folder of a bundle that shall keep a program.

    Args:
        model: What was named as the model.

    Raises:
        ConfigError: It is not a bundle.
    """
    from adapters.bundle import is_bundle

    if not isinstance(model, (str, Path)) or not is_bundle(model):
        raise ConfigError(
            f"keep_in_bundle: {model!s:.200} is not a bundle directory; only a bundle can keep a second program"
        )
    return Path(model)


def _figures(report: ConversionReport, program: bytes) -> dict[str, Any]:
    """What a choice needs of a conversion's report, and which program it is of."""
    names = ("clips", "clip_origin", "agreement", "max_score_difference", "source_ms", "converted_ms", "accuracy")
    values = report.to_json()
    return {
        "program_sha256": hashlib.sha256(program).hexdigest(),
        "source": values.get("source", "float32"),
        **{name: values[name] for name in names},
    }


def _conversions(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Figures by precision, which may be anything: a bundle may come from anyone."""
    found = metrics.get(CONVERSIONS)
    return dict(found) if isinstance(found, Mapping) else {}


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision that a model predicts in, and why.

    Attributes:
        precision: Of the program that predicts.
        reason: One sentence.
        own: Whether it is the one that the model's config names.
    """

    precision: Precision
    reason: str
    own: bool

    @property
    def overrides(self) -> dict[str, Any]:
        """What ``open_model`` needs to predict so."""
        return {} if self.own else {"quantize": self.precision}


def own_precision(config: Mapping[str, Any]) -> PrecisionChoice:
    """The choice of a model that nobody asked to predict in another precision.

    Args:
        config: Its config.
    """
    return PrecisionChoice(as_precision(config.get("quantize", "none")), "it is the precision of the model", True)


def choose_precision(path: str | Path, wanted: WantedPrecision) -> PrecisionChoice:
    """Choose the program of a saved model.

    "auto" is int8 where the model has an int8 program that was measured on at least LEAST_CLIPS labelled clips, loses
    at most ``max_accuracy_drop`` of the right answers there, and was faster; otherwise float32.

    Args:
        path: A bundle directory or a self-describing .tflite.
        wanted: "auto" or a precision.

    Raises:
        ConfigError: The model has no program of this precision, and none can be made of it.
        BundleError: The model is missing or damaged.
    """
    from adapters.inference import read_stored

    if wanted not in WANTED:
        raise ConfigError(f"precision is {wanted!r} and must be one of: {', '.join(WANTED)}")
    stored = read_stored(path, trusted_only=True)
    own = as_precision(stored.config["quantize"])
    if wanted == own:
        return PrecisionChoice(own, "it was requested", True)
    if Path(path).is_file():
        if wanted != "auto":
            raise ConfigError(
                f"{path}: holds only a {own} program, but {wanted} was requested. Use the bundle that it was "
                "converted from, or remove --precision"
            )
        return PrecisionChoice(own, "the file holds only this program", True)
    if wanted != "auto":
        _require_program(stored, wanted)
        return PrecisionChoice(wanted, "it was requested", False)
    against = _against_int8(stored)
    if against is None:
        return PrecisionChoice("int8", _cost(stored.metrics[CONVERSIONS]["int8"], stored), own == "int8")
    if own != "float32" and not stored.has_weights and _program(stored, "float32") is None:
        return PrecisionChoice(own, f"{against}; there are no weights to make a float32 program from", True)
    return PrecisionChoice("float32", against, own == "float32")


def _program(stored: StoredModel, precision: Precision) -> Path | None:
    return next((path for name, path in stored.programs.items() if name.partition("_")[0] == precision), None)


def _require_program(stored: StoredModel, wanted: Precision) -> None:
    if _program(stored, wanted) is not None or (stored.has_weights and wanted != "int8"):
        return
    if not stored.has_weights:
        raise ConfigError(f"{stored.path}: has no {wanted} program, and no weights to make one from. {_how(stored)}")
    raise ConfigError(f"{stored.path}: has no int8 program. {_how(stored)}")


def _how(stored: StoredModel) -> str:
    return f"Make one: cliplab convert {stored.path} --quantize int8 --data DATASET --output X.tflite --keep-in-bundle"


def _against_int8(stored: StoredModel) -> str | None:
    """Why int8 is not taken by itself; None where it is."""
    program = _program(stored, "int8")
    if program is None:
        return f"the bundle has no int8 program. {_how(stored)}"
    figures = _conversions(stored.metrics).get("int8", {})
    if not _are_figures(figures) or figures["program_sha256"] != _digest(program):
        return f"its int8 program was not measured on labelled clips. {_how(stored)}"
    accuracy, most = figures["accuracy"], stored.config["max_accuracy_drop"]
    if accuracy["clips"] < LEAST_CLIPS:
        return f"int8 was measured on {accuracy['clips']} labelled clips; at least {LEAST_CLIPS} are required"
    if not accuracy["drop"] <= most:
        return f"{_cost(figures, stored)}, more than max_accuracy_drop allows"
    if not figures["converted_ms"] < figures["source_ms"]:
        return (
            f"int8 was not faster where it was measured ({figures['converted_ms']:.2f} ms per clip; "
            f"{figures['source_ms']:.2f} ms before)"
        )
    return None


def _cost(figures: Mapping[str, Any], stored: StoredModel) -> str:
    of = figures["accuracy"]
    return (
        f"int8 loses {100 * of['drop']:.1f} points of accuracy on {of['clips']} labelled clips (95% interval "
        f"{100 * of['interval'][0]:.1f} to {100 * of['interval'][1]:.1f}; max_accuracy_drop is "
        f"{100 * stored.config['max_accuracy_drop']:g} points)"
    )


def _are_figures(figures: Any) -> bool:
    """Whether they are those that ``keep_program`` writes."""
    if not isinstance(figures, Mapping) or not isinstance(figures.get("program_sha256"), str):
        return False
    of = figures.get("accuracy")
    if not isinstance(of, Mapping) or not isinstance(of.get("interval"), (list, tuple)) or len(of["interval"]) != 2:
        return False
    numbers = (of.get("drop"), of.get("clips"), *of["interval"], figures.get("source_ms"), figures.get("converted_ms"))
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in numbers)


def _digest(program: Path) -> str:
    try:
        return hashlib.sha256(program.read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError(f"{program}: cannot be read ({error.strerror}). Copy the bundle again, whole.") from error
