"""The command that compares models on the user's clips, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import FAILED, bar, command, show, write_json
from cliplab.cli.options import AsJson, Data, Force, Overrides, Threads, TrustAdapters, opt, parsed
from cliplab.cli.tables import Shown, number, problem, problems, size, styled, table

if TYPE_CHECKING:
    from cliplab.models import Comparison, ModelFigures

_LONGEST_REASON = 300


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(command(compare))


def compare(
    data: Data,
    models: Annotated[
        str | None,
        opt("A,B,...", "Models to compare; default: the ready configs whose weights are on this machine."),
    ] = None,
    max_latency_ms: Annotated[float | None, opt("MS", "Maximum milliseconds per clip on the device.")] = None,
    max_size: Annotated[str | None, opt("SIZE", "Maximum file size with its unit, such as 5MB.")] = None,
    device_factor: Annotated[float, opt("F", "How many times slower the device is than this machine.")] = 1.0,
    vary: Annotated[
        list[str] | None,
        opt("KEY=A,B,...", "Compare values of a config key of one model; repeat it for combinations."),
    ] = None,
    threads: Threads = None,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, opt("DIR", "A folder for comparison.json and comparison.png.", "-o", "--output")
    ] = None,
    force: Force = False,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Compare models on labelled clips, and recommend one within limits of speed and size.

    Each clip is scored by a head that was not trained on its group. --set KEY=VALUE applies to all models, --set
    NAME.KEY=VALUE to one. Exits with 1 if no model meets the limits, or if a clip or a named model was left out.
    """
    from cliplab import models as commands

    with bar() as progress:
        found = commands.compare(
            data,
            models=None if models is None else [name.strip() for name in models.split(",") if name.strip()],
            vary=_varied(vary or []),
            max_latency_ms=max_latency_ms,
            max_size=max_size,
            device_factor=device_factor,
            threads=threads,
            overrides=parsed(overrides),
            output=output,
            force=force,
            trust_adapters=trust_adapters or (),
            on_progress=progress.stage,
            on_line=progress.line,
        )
    write_json(found.to_json()) if as_json else show(*_shown(found, data))
    nothing_fits = all(model.fits is None for model in found.models)
    return FAILED if nothing_fits or found.skipped or any(item.asked_for for item in found.left_out) else None


def _varied(given: Sequence[str]) -> dict[str, list[Any]]:
    """Values by key of "key=a,b,c". A value is JSON, or text where it is not valid JSON."""
    from adapters.errors import ConfigError
    from adapters.system import parse_json

    result: dict[str, list[Any]] = {}
    for text in given:
        key, separator, values = text.partition("=")
        if not separator or not key.strip() or not values.strip():
            raise ConfigError(f"--vary takes key=value,value,..., got {text!r}, e.g. --vary n_frames=8,16,32")
        if key.strip() in result:
            raise ConfigError(f"--vary {key.strip()} is given twice. Give all of its values in one option")
        try:
            result[key.strip()] = list(parse_json(f"[{values}]"))
        except ValueError:
            result[key.strip()] = [_value(part.strip()) for part in values.split(",") if part.strip()]
    return result


def _value(text: str) -> Any:
    from adapters.system import parse_json

    try:
        return parse_json(text)
    except ValueError:
        return text


def _shown(found: Comparison, data: Path) -> Shown:
    """The table of models, what was left out, and the one to take."""
    factor = found.limits.device_factor
    time = ">ms/clip" if factor == 1 else ">device ms"
    names = ("model", ">accuracy (95%)", ">class mean", time, ">size", ">int8 est.", "")
    shown: Shown = [
        table(names, [_row(model, found) for model in found.models]),
        f"{found.clips} clips in {found.groups} group{'' if found.groups == 1 else 's'}; "
        f"always answering {found.largest_class}: "
        f"{found.largest_class_share:.0%}; {found.threads} thread{'' if found.threads == 1 else 's'}"
        + ("" if factor == 1 else f"; the device is {factor:g} times slower than this machine"),
    ]
    notes = [note for model in found.models for note in model.notes]
    shown += [styled(f"note: {text}", "yellow") for text in (*found.warnings, *notes)]
    shown += _left_out(found)
    shown += problems(found.skipped, "left out: ")
    shown += ["", *found.why]
    shown += _next_step(found, data)
    if found.output:
        shown.append(f"written: {found.output}")
    return shown


def _row(model: ModelFigures, found: Comparison) -> tuple[Any, ...]:
    low, high = model.interval
    style = "bold" if model.model == found.recommended else ""
    return (
        styled(model.model, style),
        f"{model.accuracy:.0%} ({100 * low:.0f} to {high:.0%})",
        f"{model.mean_recall:.0%}",
        number(model.device_latency_ms, 1),
        size(model.size_bytes),
        size(model.int8_bytes),
        _state(model, found),
    )


def _state(model: ModelFigures, found: Comparison) -> str:
    """Whether it is the one to take, or which limit it exceeds."""
    if model.model == found.recommended:
        return "take as int8" if model.fits == "int8" else "take"
    limits = found.limits
    slow = limits.latency_ms is not None and model.device_latency_ms > limits.latency_ms
    large = limits.size_bytes is not None and model.int8_bytes > limits.size_bytes
    return "too slow, large" if slow and large else "too slow" if slow else "too large" if large else ""


def _left_out(found: Comparison) -> Shown:
    """The models that were left out, those of one reason together."""
    by_reason: dict[tuple[str, bool], list[str]] = {}
    for item in found.left_out:
        by_reason.setdefault((_in_short(item.reason), item.asked_for), []).append(item.model)
    lines = {f"left out: {', '.join(names)}: {reason}": asked_for for (reason, asked_for), names in by_reason.items()}
    return [problem(text) if asked_for else styled(text, "dim") for text, asked_for in lines.items()]


def _in_short(reason: str) -> str:
    """A reason on one line; the JSON has all of it."""
    text = " ".join(reason.split())
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"


def _next_step(found: Comparison, data: Path) -> list[str]:
    """The command that trains the model to take."""
    import json
    import shlex

    taken = next((model for model in found.models if model.model == found.recommended), None)
    if taken is None or taken.source is None:
        return []
    keys = [
        f"--set {shlex.quote(f'{key}={value if isinstance(value, str) else json.dumps(value)}')}"
        for key, value in taken.overrides.items()
    ]
    return [" ".join(["train it: cliplab train", shlex.quote(taken.source), shlex.quote(str(data)), "MODEL", *keys])]
