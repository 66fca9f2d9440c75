"""Composed evenings, encoded: what ``cliplab ads`` finds in them, by variant, beside comskip, row by row of evidence.

``python benchmarks/bench_ads.py evenings FOLDER`` runs it. What was seen in a recording, and what comskip marked in it,
is kept in FOLDER/store, so that an interrupted run resumes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from adapters.evaluation import RecordingBreaks, measure_breaks  # noqa: E402
from cliplab.detect import Observations, decide_breaks, read_break_profile  # noqa: E402

SHOWN = ("f1", "precision", "recall", "edge_error_median", "edge_error_p95", "programme_lost_per_hour",
         "ads_seen_per_hour", "second_accuracy")  # fmt: skip
WITH_INTERVAL = ("f1", "edge_error_median", "edge_error_p95", "programme_lost_per_hour", "ads_seen_per_hour")
SUFFIXES = (".mkv", ".ts")
Extents = tuple[tuple[float, float], ...]


def figures(recordings: list[RecordingBreaks]) -> dict[str, Any]:
    """What the table shows of a set of recordings."""
    report = measure_breaks(recordings).to_json()
    shown = {name: None if report[name] is None else round(report[name], 3) for name in SHOWN}
    return {
        "recordings": report["recordings"],
        "breaks": report["truth"],
        "found": report["matched"],
        "wrong": report["predicted"] - report["matched"],
        **shown,
        **{
            f"{name}_interval": [round(value, 3) for value in report["intervals"][name] or ()] for name in WITH_INTERVAL
        },
    }


def evenings_of(folder: Path) -> list[Path]:
    """The composed recordings of a folder: those of the split "test" that have their notes."""
    found = [path for path in sorted(folder.glob("test_*")) if path.suffix in SUFFIXES]
    return [path for path in found if path.with_suffix(".json").exists()]


def bench_evenings(
    folder: Path, model: str | None, comskip: bool, rows: bool = True, cues: bool = False, repetition: bool = False
) -> Iterator[dict[str, Any]]:
    """Composed evenings by variant: all evidence, each row left out, each alone, and comskip.

    With ``cues`` a playlist announces breaks (``announced``); with ``repetition`` evenings of a variant are compared.
    """
    from adapters.bundle import model_digest
    from adapters.inference import open_model
    from cliplab.detect.profiles import read_profile
    from cliplab.detect.recordings import Job, find_in_recording

    adapter = None if model is None else open_model(model)
    digest = "" if model is None else model_digest(model)
    job = Job(adapter, digest, None, read_profile("base"), None, None, folder / "store", False, None)
    found: dict[tuple[str, str], list[RecordingBreaks]] = defaultdict(list)
    spent: dict[str, list[float]] = defaultdict(list)
    paths = evenings_of(folder)
    indexes = _compared(paths, folder / "store") if repetition else {}
    for path in paths:
        evening = json.loads(path.with_suffix(".json").read_text())["evening"]
        truth, length = tuple(map(tuple, evening["breaks"])), float(evening["seconds"])
        began = time.process_time()
        given = announced(truth, length, folder / "store" / f"{path.stem}.m3u8") if cues else None
        here = replace(job, cues=given, repetition=indexes.get(evening["variant"]))
        result = find_in_recording(str(path), here)
        if not result.remembered:
            spent[evening["variant"]].append(length / (time.process_time() - began))
        extents = tuple((each.start_seconds, each.end_seconds) for each in result.breaks)
        named = {"cliplab": extents}
        if rows and result.observations is not None:
            named |= by_row(result.observations)
        if comskip:
            named["comskip"] = remembered_comskip(path, folder / "store")
        for method, breaks in named.items():
            found[evening["variant"], method].append(RecordingBreaks(breaks, truth, length))
        yield {"bench": "evening", "path": path.name, **worst_edges(extents, truth)}
    for (variant, method), recordings in sorted(found.items()):
        shown = {"bench": "evenings", "variant": variant, "method": method, **figures(recordings)}
        if method == "cliplab" and spent[variant]:
            shown["times_real_time_per_core"] = round(float(np.median(spent[variant])), 1)
        yield shown


def _compared(paths: Sequence[Path], store: Path) -> dict[str, Any]:
    """An index over the evenings of each variant."""
    from cliplab.detect.repeated import index_recordings
    from cliplab.detect.repetition import RepetitionIndex

    store.mkdir(parents=True, exist_ok=True)
    by_variant = defaultdict[str, list[str]](list)
    for path in paths:
        by_variant[json.loads(path.with_suffix(".json").read_text())["evening"]["variant"]].append(str(path))
    indexes = {}
    for variant, names in by_variant.items():
        indexes[variant] = RepetitionIndex(store / f"repetition-{variant}.sqlite")
        index_recordings(indexes[variant], names)
    return indexes


def announced(breaks: Sequence[tuple[float, float]], seconds: float, path: Path) -> Path:
    """Write an HLS playlist whose cues are off by about a second and miss one break of five; returns its path."""
    rng = np.random.default_rng([round(1000 * seconds), 17])
    known = [one for one in breaks if rng.random() > 0.2]
    cues = [
        (edge + float(rng.normal(0, 1)), name)
        for edges in known
        for edge, name in zip(edges, ("OUT", "IN"), strict=True)
    ]
    bounds = sorted({*np.arange(0, seconds, 6.0).tolist(), *(max(at, 0.0) for at, _ in cues), seconds})
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:6", "#EXT-X-PLAYLIST-TYPE:VOD"]
    for number, (start, end) in enumerate(pairwise(bounds)):
        lines += [f"#EXT-X-CUE-{name}" for at, name in cues if abs(max(at, 0.0) - start) < 1e-6]
        lines += [f"#EXTINF:{end - start:.3f},", f"{number}.ts"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    return path


def worst_edges(found: Sequence[tuple[float, float]], truth: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """The true breaks, and how far off each edge of the nearest found one is."""
    off = [
        [round(min((each[side] - true[side] for each in found), key=abs, default=float("nan")), 2) for side in (0, 1)]
        for true in truth
    ]
    return {"breaks": len(truth), "found": len(found), "off": off}


def by_row(seen: Observations) -> dict[str, Extents]:
    """Breaks with one kind of evidence left out, and with the cuts and that one alone."""
    general = read_break_profile()
    names = [("second_weights", name) for name in general.second_weights]
    names += [("edge_weights", name) for name in general.edge_weights]
    found = {}
    for kind, name in names:
        values = seen.ad_scores if name == "ad_scores" else seen.rows.get(name)
        if name != "cut_strength" and (values is None or not np.isfinite(values).any()):
            continue
        without = replace(general, **{kind: {**getattr(general, kind), name: 0.0}})
        only = {"second_weights": {}, "edge_weights": {}, kind: {name: getattr(general, kind)[name]}}
        for word, profile in (("without", without), ("only", replace(general, **only))):
            found[f"{word} {name}"] = _decided(seen, profile)
    # Black frames are of one colour too: either replaces the other.
    dark = {**general.edge_weights, "black": 0.0, "uniform": 0.0}
    found["without black and uniform"] = _decided(seen, replace(general, edge_weights=dark))
    if {"cue", "repetition"} & set(seen.rows):
        plain = {**general.second_weights, "cue": 0.0, "repetition": 0.0}
        found["without cue and repetition"] = _decided(seen, replace(general, second_weights=plain))
    quiet = {**general.edge_weights, "silence": 0.0, "loudness_jump": 0.0}
    heard = {**general.second_weights, "speech": 0.0, "music": 0.0}
    found["without all sound"] = _decided(seen, replace(general, edge_weights=quiet, second_weights=heard))
    if len(seen.features):
        found["without the recording's own pictures"] = _decided(replace(seen, features=seen.features[:0]), general)
    return found


def _decided(seen: Observations, profile: Any) -> Extents:
    return tuple((each.start_seconds, each.end_seconds) for each in decide_breaks(seen, profile))


def remembered_comskip(path: Path, store: Path) -> Extents:
    """What comskip marks in a recording, from the store where it was run before."""
    kept = store / f"comskip-{path.stem}.json"
    if not kept.exists():
        store.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(run_comskip(path)))
    return tuple((start, end) for start, end in json.loads(kept.read_text()))


def run_comskip(path: Path) -> Extents:
    """What Debian's comskip marks with its own settings and an EDL as output."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "comskip.ini"
        settings.write_text("output_edl=1\noutput_txt=0\n")
        command = ["comskip", f"--ini={settings}", f"--output={folder}", str(path)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        edl = Path(folder) / f"{path.stem}.edl"
        lines = [line.split() for line in edl.read_text().splitlines()] if edl.exists() else []
    return tuple((float(line[0]), float(line[1])) for line in lines if len(line) >= 2)
