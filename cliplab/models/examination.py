"""`cliplab doctor`: whether a .tflite will load and run on this machine, and what to do where it will not."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.bundle import check_golden, is_bundle, read_bundle, render_clip
from adapters.errors import AdapterError, BundleError, ConfigError
from adapters.inference import open_model
from adapters.litert import (
    available_cores,
    open_interpreter,
    operators,
    precision,
    read_description,
    xnnpack_partitions,
)
from adapters.system import cache_dir, read_regular_bytes
from cliplab.models.machine_report import MachineReport, machine

State = Literal["good", "warning", "bad"]
MB = 1_000_000
MAX_FILE_BYTES = 2_000 * MB
_TIMED = 5


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: "good", "warning" or "bad".
        found: What was found.
        advice: What to do; "" where there is nothing to do.
    """

    name: str
    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """What was found.

    Attributes:
        findings: In the order in which they were looked at.
        machine: All about this installation and machine; None where a file was examined.
    """

    findings: tuple[Finding, ...]
    machine: MachineReport | None = None

    @property
    def good(self) -> bool:
        """Whether nothing is bad; there may be warnings."""
        return all(item.state != "bad" for item in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        found = {"good": self.good, "findings": [asdict(item) for item in self.findings]}
        return found if self.machine is None else found | {"machine": self.machine.to_json()}


def doctor(
    file: str | Path | None = None,
    *,
    golden: str | Path | None = None,
    max_size_mb: float = 10,
    trust_adapters: Sequence[str] = (),
) -> DoctorReport:
    """Examine this machine and a model file.

    Args:
        file: A .tflite; None examines the machine only.
        golden: The bundle that it was made from, which has its golden scores; None looks for X beside X.tflite.
        max_size_mb: The largest file that is good for a device; the ad-detector guide names 10 MB.
        trust_adapters: Adapters of other packages that the file may name.

    Returns:
        What was found. A damaged file is a finding, not an error.

    Raises:
        ConfigError: A limit or the bundle is not valid.
    """
    if not 0 < max_size_mb < 1e6:
        raise ConfigError(f"max_size_mb is {max_size_mb:g}; it must be a number above 0, such as --max-size-mb 10")
    if golden is not None and not is_bundle(golden):
        raise ConfigError(f"golden: {golden} is not a bundle. Give the bundle that the file was converted from")
    findings = list(_machine())
    if file is not None:
        findings += _file(Path(file), None if golden is None else Path(golden), max_size_mb, trust_adapters)
        return DoctorReport(tuple(findings))
    report = machine()
    findings += [Finding("installation", "bad", *one.split(". ", 1)) for one in report.problems]
    return DoctorReport(tuple(findings), report)


def _machine() -> Iterator[Finding]:
    yield Finding(
        "machine", "good", f"{platform.machine()}, {available_cores()} cores, Python {platform.python_version()}"
    )
    from importlib.metadata import PackageNotFoundError, version

    try:
        yield Finding("LiteRT", "good", f"ai-edge-litert {version('ai-edge-litert')}")
    except PackageNotFoundError:
        yield Finding("LiteRT", "bad", "not installed", "Install it: pip install ai-edge-litert")
    memory = _memory_bytes()
    if memory is not None:
        small = memory < 256 * MB
        advice = "Less than 256 MB: a model and its decoder may not fit." if small else ""
        yield Finding("memory", "warning" if small else "good", f"{memory // MB} MB available", advice)
    folder = cache_dir()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    full = free < 100 * MB
    advice = f"Free some space on the disk of {cache_dir()}." if full else ""
    yield Finding("disk", "warning" if full else "good", f"{free // MB} MB free", advice)


def _file(path: Path, bundle: Path | None, max_size_mb: float, trust_adapters: Sequence[str]) -> Iterator[Finding]:
    if path.is_dir():
        advice = f"Make the file of a bundle with: cliplab convert {path} --output {path.name}.tflite"
        yield Finding("file", "bad", f"{path} is a folder; a .tflite is checked", advice)
        return
    try:
        data = read_regular_bytes(path, MAX_FILE_BYTES, BundleError)
    except FileNotFoundError:
        yield Finding("file", "bad", f"{path}: no such file (looked from {Path.cwd()})", "Check the path.")
        return
    except (OSError, BundleError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        yield Finding("file", "bad", f"cannot be read ({reason})", "Give a .tflite file that this user may read.")
        return
    large = len(data) > max_size_mb * MB
    advice = "Convert it with --quantize int8, or choose a smaller model or input size." if large else ""
    yield Finding("size", "warning" if large else "good", f"{len(data) / MB:.1f} MB (limit {max_size_mb:g})", advice)
    try:
        counts = operators(data, path.name)
        kind = precision(data, path.name)
    except BundleError as error:
        yield Finding(
            "program", "bad", str(error), "Download or convert the file again: it is damaged or not a .tflite."
        )
        return
    yield _operators(counts)
    yield _quantisation(kind)
    yield _runs(data, path.name)
    yield from _model(path, bundle, trust_adapters)


def _operators(counts: dict[str, int]) -> Finding:
    custom = [name.removeprefix("custom:") for name in counts if name.startswith("custom:")]
    listed = ", ".join(f"{count} {name}" for name, count in list(counts.items())[:6])
    more = f" and {len(counts) - 6} kinds more" if len(counts) > 6 else ""
    if custom:
        return Finding(
            "operators",
            "bad",
            f"not built in: {', '.join(custom[:5])}",
            "LiteRT alone cannot run them. Convert the model with built-in operators only (cliplab convert).",
        )
    return Finding("operators", "good", f"{listed}{more}")


def _quantisation(kind: str) -> Finding:
    advice = {
        "float32": "float32 is the largest; --quantize int8 needs a quarter of the size. Measure both on the device: "
        "whether int8 is faster differs between devices (cliplab bench).",
        "dynamic": "Only the weights have 8 bits. Whether int8 or float16 is faster differs between devices.",
    }
    return Finding("quantisation", "good", kind, advice.get(kind, ""))


def _runs(data: bytes, name: str) -> Finding:
    """Whether this LiteRT opens the program: one that is newer than the runtime, or damaged, does not."""
    try:
        open_interpreter(data, name)
        parts = xnnpack_partitions(data, name)
    except AdapterError as error:
        return Finding(
            "loading",
            "bad",
            str(error),
            "If the message names an operator's version, the file was written for a later LiteRT: update "
            "ai-edge-litert on this machine, or convert with the older one.",
        )
    if parts is None:
        return Finding("loading", "good", "opens here")
    if parts == 0:
        return Finding("loading", "warning", "opens here; no part of it runs in XNNPACK", "Expect it to be slow.")
    return Finding("loading", "good", f"opens here; {parts} part{'s' if parts > 1 else ''} in XNNPACK")


def _model(path: Path, bundle: Path | None, trust_adapters: Sequence[str]) -> Iterator[Finding]:
    """What needs more than the program: its labels, preprocessing and golden scores."""
    try:
        labels = read_description(path).get("labels")
    except BundleError as error:
        yield Finding(
            "description",
            "warning",
            f"not self-describing ({error})",
            "Add labels and preprocessing to it: cliplab adopt FILE --labels FILE --output NEW.tflite",
        )
        return
    yield Finding("description", "good", f"{len(labels) if isinstance(labels, list) else 0} labels")
    try:
        adapter = open_model(path, {"num_threads": 1}, trust_adapters)
        spec = adapter.input_spec
        shape = f"{spec.n_frames} frames of {spec.height}x{spec.width}"
        speed, scores = _timed(adapter)
    except AdapterError as error:
        yield Finding("prediction", "bad", str(error), "Convert the model again with this version of cliplab.")
        return
    if not np.isfinite(scores).all():
        yield Finding(
            "prediction", "bad", "its scores are not finite numbers", "Its weights are damaged: convert it again."
        )
        return
    yield Finding("prediction", "good", f"{speed:.1f} ms per clip of {shape}, one thread, median of {_TIMED}")
    yield _golden(path, bundle, adapter)


def _golden(path: Path, bundle: Path | None, adapter: BaseModelAdapter) -> Finding:
    beside = bundle or path.with_suffix("")
    reference = read_bundle(beside).golden if is_bundle(beside) else None
    if reference is None:
        return Finding(
            "golden scores",
            "warning",
            "not checked: the file holds only their digest",
            "Give the bundle that it was made from (--golden BUNDLE); a registry publishes them with each version.",
        )
    try:
        difference = check_golden(reference, adapter.predict, str(adapter.config["quantize"]))
    except BundleError as error:
        return Finding(
            "golden scores", "bad", str(error), "Convert it again from its bundle, and compare: cliplab verify."
        )
    return Finding("golden scores", "good", f"within tolerance (largest difference {difference:.6f})")


def _timed(adapter: BaseModelAdapter) -> tuple[float, np.ndarray[Any, Any]]:
    """The median time in milliseconds of a rendered clip, and its scores."""
    clip = render_clip(adapter.input_spec)
    scores = adapter.predict([clip])[0].scores
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        adapter.predict([clip])
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times), scores


def _memory_bytes() -> int | None:
    """What a program may still take; None where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
