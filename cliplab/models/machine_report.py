"""What this installation and this machine can do: for ``cliplab doctor`` and for reports of faults."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.system import cache_dir
from cliplab import __version__
from cliplab.models.caches import CacheFolder, cache_show
from cliplab.models.extras import Extra, installed_version, requirements

# What LiteRT's and FFmpeg's fast paths ask of a processor.
_INSTRUCTIONS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "neon",
    "asimd",
    "asimddp",
    "i8mm",
)
_DECODERS = ("h264", "hevc", "av1", "vp9", "mpeg2video", "prores", "aac")
_ENCODERS = ("libx264", "libx265", "aac")
_NVIDIA = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class MachineReport:
    """An installation and its machine.

    Attributes:
        versions: Package -> version: cliplab, Python and the core packages.
        system: Operating system and processor architecture.
        cores: Processor cores that this process may use.
        instructions: Instruction sets that matter here and that the processor has.
        memory_bytes: Memory of the machine; None where the system does not say.
        gpus: A line per NVIDIA GPU: name, memory, driver.
        tensorflow: TensorFlow's version; None where it is not installed.
        decoders: Codec -> whether FFmpeg's libraries here decode it.
        encoders: Codec -> whether they encode it.
        extras: Each extra and what it lacks.
        weights: Name of published weights -> whether they are available without a download.
        cache: The cache's folders.
        free_bytes: Free space where the cache is.
        problems: What does not work, each with what to do.
    """

    versions: dict[str, str]
    system: str
    cores: int
    instructions: tuple[str, ...]
    memory_bytes: int | None
    gpus: tuple[str, ...]
    tensorflow: str | None
    decoders: dict[str, bool]
    encoders: dict[str, bool]
    extras: tuple[Extra, ...]
    weights: dict[str, bool]
    cache: tuple[CacheFolder, ...]
    free_bytes: int
    problems: tuple[str, ...] = field(default=())

    def line(self) -> str:
        """One line for a report of a fault; it names no path, user or host."""
        names = " ".join(f"{name} {version}" for name, version in self.versions.items())
        memory = "" if self.memory_bytes is None else f", {self.memory_bytes / 2**30:.0f} GiB"
        gpu = f", {len(self.gpus)} GPU" if self.gpus else ""
        tensorflow = f", tensorflow {self.tensorflow}" if self.tensorflow else ""
        return f"{names}{tensorflow}; {self.system}, {self.cores} cores{memory}{gpu}, {' '.join(self.instructions)}"

    def to_json(self) -> dict[str, Any]:
        """The report for machines; sizes in bytes."""
        own = {name: value for name, value in vars(self).items() if name not in ("extras", "cache")}
        return own | {
            "extras": {one.name: list(one.missing) for one in self.extras},
            "cache": [one.to_json() for one in self.cache],
            "line": self.line(),
        }


def machine() -> MachineReport:
    """Look at this installation and this machine. Imports neither TensorFlow nor another extra's packages."""
    core, extras = requirements()
    versions = {"cliplab": __version__, "python": platform.python_version()}
    versions |= {name: found for name, _ in core if (found := installed_version(name)) is not None}
    decoders, encoders = _codecs()
    lacking = [f"{name}{bounds}" for name, bounds in core if installed_version(name) is None]
    problems = [f"{one} is not installed. Install it: pip install '{one}'" for one in lacking]
    problems += _cache_problems()
    if not decoders.get("h264"):
        problems.append(
            "FFmpeg's libraries here do not decode H.264. Install them again: pip install --force-reinstall av"
        )
    return MachineReport(
        versions=versions,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        instructions=_instructions(),
        memory_bytes=_memory_bytes(),
        gpus=_gpus(),
        tensorflow=installed_version("tensorflow"),
        decoders=decoders,
        encoders=encoders,
        extras=extras,
        weights=_weights(),
        cache=cache_show(),
        free_bytes=shutil.disk_usage(_nearest(cache_dir())).free,
        problems=tuple(problems),
    )


def _instructions() -> tuple[str, ...]:
    """From Linux's /proc/cpuinfo; empty on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    flags = set(re.findall(r"\w+", " ".join(re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)[:1])))
    return tuple(name for name in _INSTRUCTIONS if name in flags)


def _memory_bytes() -> int | None:
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _gpus() -> tuple[str, ...]:
    """A line per GPU that NVIDIA's own tool lists; it is not asked to change anything."""
    program = shutil.which(_NVIDIA[0])
    if program is None:
        return ()
    try:
        ran = subprocess.run(
            [program, *_NVIDIA[1:]], capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in ran.stdout.splitlines() if line.strip())


def _codecs() -> tuple[dict[str, bool], dict[str, bool]]:
    import av

    def known(name: str, mode: str) -> bool:
        try:
            av.Codec(name, mode)  # type: ignore[arg-type]
        except ValueError:  # av.codec.codec.UnknownCodecError is one
            return False
        return True

    return {name: known(name, "r") for name in _DECODERS}, {name: known(name, "w") for name in _ENCODERS}


def _weights() -> dict[str, bool]:
    """Published weights that need no download: those of packages, and files in the cache."""
    import importlib.util

    from adapters.models.weights import PACKAGE_WEIGHTS

    found = {name: importlib.util.find_spec(one.module) is not None for name, one in PACKAGE_WEIGHTS.items()}
    for folder in ("weights", "movinet"):
        below = cache_dir() / folder
        if below.is_dir():
            found |= {path.stem: True for path in sorted(below.iterdir()) if not path.name.startswith(".")}
    return found


def _cache_problems() -> list[str]:
    folder = _nearest(cache_dir())
    if os.access(folder, os.W_OK | os.X_OK):
        return []
    return [
        f"{cache_dir()}: the cache cannot be written. Set CLIPLAB_CACHE to a writable folder, or change its permissions"
    ]


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next((one for one in (path, *path.parents) if one.is_dir()), Path(sys.prefix))
