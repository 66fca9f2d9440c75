"""The model card: one page of Markdown that says what a model is, what it saw and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.bundle.golden import Golden
from adapters.config import without_local_paths
from adapters.system import terminal_text

_SHOWN_LABELS = 50
_REPORTS = {
    "validation": "the validation clips",
    "out_of_fold": "the training clips, each by a head that did not see its group",
}
_FIGURES = ("accuracy", "precision", "recall", "f1")
_OTHER_FIGURES = ("average_precision", "roc_auc", "log_loss", "calibration_error")
_INPUT_KEYS = (
    "imgz",
    "height",
    "width",
    "n_frames",
    "sampling",
    "fps",
    "window_seconds",
    "stride_seconds",
    "aspect",
    "sampling_tolerance_seconds",
    "short_clip",
    "mean",
    "scale",
)
_MODEL_KEYS = (
    *("adapter", "variant", "members", "voting", "member_weights"),
    *("task", "positive_label", "aggregation", "threshold", "quantize", "weights"),
)


def render_card(
    config: Mapping[str, Any],
    labels: Sequence[str],
    metrics: Mapping[str, Any],
    golden: Golden | None = None,
) -> str:
    """The card of a model, from the content of its bundle.

    Args:
        config: The complete config; the keys that matter to a reader are shown.
        labels: The labels in the model's order.
        metrics: As stored; plain numbers and groups of them are shown, lists and texts are left to metrics.json.
        golden: Adds what the golden clip can and cannot detect.

    Returns:
        Markdown.
    """
    title = str(config.get("name") or str(config.get("adapter", "model")).rpartition(":")[2])
    parts = [f"# {card_text(title)}", _sentence(config, labels)]
    parts += _section("Model", _rows(without_local_paths(config), _MODEL_KEYS) + _first_weights(metrics))
    parts += _section("Input", _rows(config, _INPUT_KEYS))
    parts += ["## Labels", _labels(labels)]
    measured = [(name, _value(value)) for name, value in _numbers(_other_metrics(metrics))]
    reports = [part for name, words in _REPORTS.items() for part in _report(words, metrics.get(name))]
    parts += _section("Measured", _thresholds(metrics) + measured) + reports or [
        "## Measured",
        "Nothing yet: run `cliplab evaluate`.",
    ]
    if golden is not None:
        parts += ["## Golden clip", _golden(golden)]
    parts += [
        "## Use",
        "`cliplab predict THIS_FOLDER VIDEO` prints its labels. It only knows the labels above, and it is only as good "
        "as the clips it was trained and measured on: check it on clips of your own before you rely on it.",
    ]
    return "\n\n".join(parts) + "\n"


def _other_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What is not shown in a section of its own."""
    reports = [name for name in _REPORTS if _report("", metrics.get(name))]
    hidden = {*reports, "thresholds", *(["cross_validation"] if "out_of_fold" in reports else [])}
    shown = {name: value for name, value in metrics.items() if name not in hidden}
    if isinstance(shown.get("calibration"), Mapping):  # the points of its picture are in metrics.json
        shown["calibration"] = {name: value for name, value in shown["calibration"].items() if name != "reliability"}
    return shown


def _report(title: str, report: Any) -> list[str]:
    """Figures with their 95% intervals over groups, overall and for each class; nothing of a report without them."""
    if not isinstance(report, Mapping) or "intervals" not in report or "per_class" not in report:
        return []
    try:
        return _report_parts(title, report)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # of other software: in metrics.json
        return []


def _report_parts(title: str, report: Mapping[str, Any]) -> list[str]:
    clips, groups = report["clips"], report["groups"]
    text = f"{clips} clips in {groups} group{'' if groups == 1 else 's'}. Intervals are 95%, resampled by whole groups."
    overall = {**{name: report[name] for name in _FIGURES}, "intervals": report["intervals"]}
    lines = [f"| | clips | groups | {' | '.join(_FIGURES)} |", "|---|---|---|" + "---|" * len(_FIGURES)]
    which = report["positive_label"] or "mean over classes"
    for name, item in [(which, {**overall, "support": clips, "groups": groups}), *_classes(report)]:
        figures = " | ".join(_with_interval(item.get(name), item["intervals"].get(name)) for name in _FIGURES)
        lines.append(f"| {card_text(str(name))} | {item['support']} | {item['groups']} | {figures} |")
    others = ", ".join(f"{name.replace('_', ' ')} {_value(report[name])}" for name in _OTHER_FIGURES if report[name])
    notes = "\n".join(f"- {card_text(note)}" for note in report["notes"])
    return [
        f"## Measured on {title}",
        text,
        "\n".join(lines),
        *([others] if others else []),
        *([notes] if notes else []),
    ]


def _classes(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(str(item["label"]), item) for item in report["per_class"][:_SHOWN_LABELS]]


def _with_interval(figure: float | None, interval: Sequence[float] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure:.2f}" + ("" if interval is None else f" ({interval[0]:.2f} to {interval[1]:.2f})")


def _thresholds(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The thresholds of ``--min-score best``, with what they reach on held-out clips."""
    chosen = metrics.get("thresholds")
    try:
        return _threshold_rows(chosen) if isinstance(chosen, Mapping) else []
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return []


def _threshold_rows(chosen: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for label, entry in list(chosen["classes"].items())[:_SHOWN_LABELS]:
        figures = ", ".join(
            f"{name} {_with_interval(entry[name], entry['intervals'][name])}" for name in ("precision", "recall", "f1")
        )
        missed = "" if entry["reached"] else f"; not reached, at most {entry['value']:.2f}"
        rows.append(
            (f"threshold of {label} for {chosen['optimize']}", f"{_value(entry['threshold'])}: {figures}{missed}")
        )
    return rows


def _sentence(config: Mapping[str, Any], labels: Sequence[str]) -> str:
    kind = {"single_label": "one of", "multi_label": "any of"}.get(str(config.get("task")), "scores for")
    return f"A video classifier: a clip in, {kind} {len(labels)} label{'' if len(labels) == 1 else 's'} out."


def _rows(config: Mapping[str, Any], keys: Sequence[str]) -> list[tuple[str, str]]:
    return [(key, _value(config[key])) for key in keys if config.get(key) is not None]


def _first_weights(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    began = metrics.get("first_weights")
    if not isinstance(began, Mapping):
        return []
    return [("SHA-256 of the weights file", card_text(str(began.get("sha256", ""))))]


def _section(title: str, rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    table = ["| | |", "|---|---|", *(f"| {card_text(name)} | {value} |" for name, value in rows)]
    return [f"## {title}", "\n".join(table)]


def _labels(labels: Sequence[str]) -> str:
    shown = "\n".join(f"{number}. {card_text(label)}" for number, label in enumerate(labels[:_SHOWN_LABELS]))
    more = len(labels) - _SHOWN_LABELS
    return shown + (f"\n\nand {more} more: see `labels` in config.json." if more > 0 else "")


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append((f"{prefix}{name}", value))
    return found


def _golden(golden: Golden) -> str:
    kind = "a given clip" if golden.variant is None else "a rendered clip"
    tolerances = ", ".join(f"{name} {value:g}" for name, value in golden.tolerances.items())
    text = f"golden.npz holds {kind} and the scores that the model must give for it, within: {tolerances}."
    blind = golden.blind_to("float32")
    return text + (f" For this model it does not detect: {', '.join(blind)}." if blind else "")


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value)
    return card_text(str(value))


def card_text(text: str) -> str:
    """Text from outside as Markdown that stays in its line and its cell.

    Args:
        text: Such as a label or a path.
    """
    plain = terminal_text(" ".join(text.split()))
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in plain)
