"""Ad breaks: the decoder alone on real schedules, and whole recordings that are composed.

    python benchmarks/bench_ads.py schedules [TV_SEGMENTS.jsonl] [--every N]
    python benchmarks/bench_ads.py evenings FOLDER [--model BUNDLE] [--comskip] [--cues] [--repetition] [--quick]
    python benchmarks/bench_ads.py repetition FOLDER

schedules: breaks of tv_segments.jsonl (two adverts or more; 157 h of 17 channels) from simulated scores at 1 Hz of a
stated AUC and simulated cuts, channel by channel with lengths learned from the other channels, against thresholding the
same scores smoothed over 15 s. Scores are two normal distributions, independent from second to second: those of a real
model are not, so that the figures are the decoder's and no model's.

evenings: every .mkv in FOLDER that evening.py made, by variant, with each row of evidence left out and alone, and
Debian's comskip on the same files; with --cues and --repetition also the rows of that name.

repetition: precision and recall of seconds of adverts that are shown twice.

Prints a JSON line for each row of the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ads_evenings import bench_evenings, figures  # noqa: E402

from adapters.evaluation import RecordingBreaks  # noqa: E402
from cliplab.detect import Observations, Schedule, decide_breaks, read_schedules  # noqa: E402
from cliplab.detect.break_learning import profile_of_schedules  # noqa: E402

CUTS_PER_SECOND = {"advert": 0.5, "promo": 0.5, "separator": 0.3}
MISSED_CUTS = 0.03


def simulate(schedule: Schedule, auc: float, seed: int) -> Observations:
    """Scores at 1 Hz that separate breaks by ``auc``, and cuts: at the edges of segments and at random."""
    rng = np.random.default_rng(seed)
    duration = schedule.segments[-1][1]
    times = np.arange(int(np.ceil(duration)), dtype=float)
    inside = np.zeros(len(times), bool)
    for block in schedule.blocks():
        inside |= (times + 0.5 > block[0][0]) & (times + 0.5 < block[-1][1])
    separation = np.sqrt(2) * NormalDist().inv_cdf(auc)
    logits = separation * (rng.normal(size=len(times)) + np.where(inside, 0.5, -0.5) * separation)
    cuts: list[float] = []
    for start, end, kind in schedule.segments:
        cuts += [start] if rng.random() > MISSED_CUTS else []
        cuts += [end] if rng.random() > MISSED_CUTS else []
        cuts += [*rng.uniform(start, end, rng.poisson(CUTS_PER_SECOND.get(kind, 0.12) * (end - start)))]
    at = np.array(sorted(cuts))
    return Observations(
        times=times, ad_scores=(1 / (1 + np.exp(-logits))).astype(np.float32), rows={}, cuts=at,
        cut_strength=rng.beta(5, 2, len(at)).astype(np.float32), cut_kinds=("shot",) * len(at),
        duration_seconds=float(duration),
    )  # fmt: skip


def threshold_breaks(seen: Observations, seconds: int = 15, least: float = 10.0) -> list[tuple[float, float]]:
    """Stretches whose scores, averaged over some seconds, are above a half, and no shorter than ``least``."""
    smooth = np.convolve(seen.ad_scores, np.ones(seconds) / seconds, mode="same")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (smooth > 0.5).astype(int), [0]])))
    return [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least]


def bench_schedules(path: Path, every: int) -> Iterator[dict[str, Any]]:
    """The decoder with lengths of the other channels, against thresholding."""
    schedules = read_schedules(path)
    channels = sorted({each.channel for each in schedules})
    profiles = {
        channel: profile_of_schedules([each for each in schedules if each.channel != channel]) for channel in channels
    }
    decided: dict[float, float] = defaultdict(float)  # processor seconds
    for auc in (0.9, 0.95, 0.99):
        rows: dict[str, list[RecordingBreaks]] = defaultdict(list)
        for number, schedule in enumerate(schedules[::every]):
            seen = simulate(schedule, auc, number)
            truth = tuple((block[0][0], block[-1][1]) for block in schedule.blocks())
            # A single advert is not a break of the measure, and to find one is not a mistake.
            inside = [(a, b) for a, b, kind in schedule.segments if kind in ("advert", "promo", "separator")]
            profile = replace(profiles[schedule.channel], second_weights={"ad_scores": 1.0})
            began = time.process_time()
            found = tuple((each.start_seconds, each.end_seconds) for each in decide_breaks(seen, profile))
            decided[auc] += time.process_time() - began
            ignored = tuple((a, b) for a, b in inside if not any(s <= a and b <= e for s, e in truth))
            group, length = schedule.channel, seen.duration_seconds
            rows["decoder"].append(RecordingBreaks(found, truth, length, ignored, group))
            rows["threshold"].append(RecordingBreaks(tuple(threshold_breaks(seen)), truth, length, ignored, group))
        for name, recordings in rows.items():
            shown = {"bench": "schedules", "auc": auc, "method": name, **figures(recordings)}
            if name == "decoder":
                hours = sum(each.duration_seconds for each in recordings) / 3600
                shown["decide_seconds_per_hour"] = round(decided[auc] / hours, 3)
            yield shown


def bench_repetition(folder: Path) -> Iterator[dict[str, Any]]:
    """Adverts that are shown twice in a folder of recordings: seconds found, by sound and by picture."""
    from cliplab.detect.repetition import RepetitionIndex, fingerprint_recording

    paths = [path for path in sorted(folder.glob("*.mkv")) if path.with_suffix(".json").exists()]
    with RepetitionIndex(folder / "repetition.sqlite") as index:
        for path in paths:
            index.add(str(path), fingerprint_recording(path))
        counts: dict[str, int] = defaultdict(int)
        for path in paths:
            counts[path.stem] = 0
        shown: dict[str, int] = defaultdict(int)
        notes = {path: json.loads(path.with_suffix(".json").read_text())["evening"] for path in paths}
        for note in notes.values():
            for _, _, name in note["adverts"]:
                shown[name] += 1
        hit = claimed = wanted = 0
        for path, note in notes.items():
            row = index.row(str(path))
            at = np.arange(len(row)) + 0.5
            repeated = np.zeros(len(row), bool)
            for start, end, name in note["adverts"]:
                repeated |= (at > start + 0.5) & (at < end - 0.5) & (shown[name] > 1)
            edge = np.zeros(len(row), bool)
            for start, end, _ in note["adverts"]:
                edge |= (np.abs(at - start) <= 1.5) | (np.abs(at - end) <= 1.5)
            said = (row > 0.5) & ~edge
            hit += int((said & repeated).sum())
            claimed += int(said.sum())
            wanted += int((repeated & ~edge).sum())
    yield {
        "bench": "repetition", "recordings": len(paths), "seconds": wanted,
        "precision": round(hit / max(claimed, 1), 4), "recall": round(hit / max(wanted, 1), 4),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the detection of ad breaks.")
    parser.add_argument("what", choices=("schedules", "evenings", "repetition"))
    parser.add_argument("source", type=Path, nargs="?")
    parser.add_argument("--model")
    parser.add_argument("--every", type=int, default=1, help="schedules: one of so many recordings")
    parser.add_argument("--comskip", action="store_true")
    parser.add_argument("--quick", action="store_true", help="evenings: without the rows of evidence one by one")
    parser.add_argument("--cues", action="store_true", help="evenings: a playlist announces most breaks, a second off")
    parser.add_argument("--repetition", action="store_true", help="evenings: those of a variant are compared")
    options = parser.parse_args(arguments)
    if options.what == "schedules":
        rows = bench_schedules(options.source or ROOT.parent / "shared/media/real/tv_segments.jsonl", options.every)
    elif options.source is None:
        parser.error("name the FOLDER of composed evenings, which benchmarks/evening.py writes")
    elif options.what == "evenings":
        rows = bench_evenings(
            options.source, options.model, options.comskip, not options.quick, options.cues, options.repetition
        )
    else:
        rows = bench_repetition(options.source)
    for row in rows:
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
