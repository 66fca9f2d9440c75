"""Cuts of composed evenings: those that ``cliplab ads`` finds, those of PySceneDetect, and what exact ones would bring.

    python benchmarks/ads_cuts.py FOLDER [--model BUNDLE] [--most N]

FOLDER holds evenings that evening.py wrote. Where each shot of an advert and each piece begins is known from its plan;
black between two pieces is one cut, wherever in it. A cut is right within 0.1 s. Footage that was cut before has cuts
that are not in the plan, so that precision is a lower bound for every method.

Every method decides the breaks too: its cuts, with those of the sound, take the place of those that were found. "truth"
has the cuts of the plan: no detector of shots can be better. PySceneDetect is measured where it is installed
(``pip install scenedetect-headless``), with its own settings. Prints a JSON line for each method.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ads_evenings import evenings_of, figures
from evening_pieces import advert_plan

from adapters.evaluation import RecordingBreaks
from cliplab.detect import Observations, decide_breaks
from cliplab.detect.gathering import merge_cuts

NEAR_SECONDS = 0.1
STRENGTH = 0.6  # of a cut that comes without one
Stretch = tuple[float, float]


def planned_cuts(note: dict[str, Any]) -> list[Stretch]:
    """Where cuts are: (first, last) second of each, which are one but for black."""
    found, at = list[Stretch](), 0.0
    for each in note["pieces"]:
        end = at + each["seconds"]
        if each["kind"] == "black":
            if found and abs(found[-1][1] - at) < 1e-3:
                found.pop()
            found.append((at, end))
        elif not found or abs(found[-1][1] - at) > 1e-3:
            found.append((at, at))
        if each["kind"] == "advert":
            _, split, number = each["source"].split("-")
            lengths = [seconds for _, _, seconds in advert_plan(split, int(number))[1]]
            found += [(at + float(cut),) * 2 for cut in np.cumsum(lengths)[:-1]]
        at = end
    return [each for each in found if each[1] > 0.25]


def right(cuts: Any, planned: Sequence[Stretch]) -> tuple[int, int]:
    """How many cuts are at a planned one, and how many planned ones have a cut."""
    bounds = np.array(planned).reshape(-1, 2)
    cuts = np.asarray(cuts, float)
    near = (cuts[:, None] >= bounds[:, 0] - NEAR_SECONDS) & (cuts[:, None] <= bounds[:, 1] + NEAR_SECONDS)
    return int(near.any(axis=1).sum()), int(near.any(axis=0).sum())


def own_cuts(seen: Observations) -> list[float]:
    """The cuts of the picture that were found."""
    pairs = zip(seen.cuts.tolist(), seen.cut_kinds, strict=True)
    return [at for at, kind in pairs if kind != "silence"]


def with_cuts(seen: Observations, cuts: Sequence[float]) -> Observations:
    """Observations with other cuts of the picture: those near a found one keep its strength and kind."""
    pictures = list[tuple[float, float, str]]()
    for at in cuts:
        place = int(np.argmin(np.abs(seen.cuts - at))) if len(seen.cuts) else -1
        known = place >= 0 and abs(seen.cuts[place] - at) <= 2 * NEAR_SECONDS and seen.cut_kinds[place] != "silence"
        strength = float(seen.cut_strength[place]) if known else STRENGTH
        kind = seen.cut_kinds[place].replace("+silence", "") if known else "shot"
        pictures.append((float(at), strength, kind))
    rows = zip(seen.cuts, seen.cut_strength, seen.cut_kinds, strict=True)
    sounds = [(float(at), float(strength), "silence") for at, strength, kind in rows if "silence" in kind]
    times, strengths, kinds = merge_cuts(pictures, sounds, seen.duration_seconds)
    slack = np.zeros(len(times), np.float32)
    return replace(seen, cuts=times, cut_strength=strengths, cut_kinds=kinds, cut_slack=slack)


def scene_detect(kind: str) -> Callable[[Path], list[float]]:
    """A function that finds the cuts of a video with a detector of PySceneDetect."""
    import scenedetect

    def find(path: Path) -> list[float]:
        manager = scenedetect.SceneManager()
        manager.add_detector(getattr(scenedetect, kind)())
        manager.detect_scenes(scenedetect.open_video(str(path)))
        return [float(cut.seconds) for cut in manager.get_cut_list()]

    return find


def watched(path: Path, model: str | None, store: Path) -> tuple[Observations, float | None]:
    """What ``cliplab ads`` saw in a recording, and the processor time; None where it was known."""
    from adapters.bundle import model_digest
    from adapters.inference import open_model
    from cliplab.detect.profiles import read_profile
    from cliplab.detect.recordings import Job, find_in_recording

    adapter = None if model is None else open_model(model)
    digest = "" if model is None else model_digest(model)
    began = time.process_time()
    result = find_in_recording(
        str(path), Job(adapter, digest, None, read_profile("base"), None, None, store, False, None)
    )
    assert result.observations is not None
    return result.observations, None if result.remembered else time.process_time() - began


def bench(folder: Path, model: str | None, most: int | None) -> None:
    """Print a line for each method."""
    found, counts = defaultdict[str, list[RecordingBreaks]](list), defaultdict[str, Any](lambda: np.zeros(5))
    spent = defaultdict[str, list[float]](list)
    finders = {}
    if find_spec("scenedetect") is not None:
        finders = {kind: scene_detect(kind) for kind in ("ContentDetector", "AdaptiveDetector")}
    for path in evenings_of(folder)[:most]:
        note = json.loads(path.with_suffix(".json").read_text())
        truth, planned = tuple(map(tuple, note["evening"]["breaks"])), planned_cuts(note)
        edges = [each for each in planned if any(abs(np.mean(each) - edge) < 0.3 for one in truth for edge in one)]
        seen, seconds = watched(path, model, folder / "store")
        cuts: dict[str, Any] = {"cliplab": own_cuts(seen), "truth": [float(np.mean(each)) for each in planned]}
        spent["cliplab"] += [] if seconds is None else [seconds / seen.duration_seconds]
        for kind, find in finders.items():
            began = time.process_time()
            cuts[kind] = find(path)
            spent[kind].append((time.process_time() - began) / seen.duration_seconds)
        for method, at in cuts.items():
            hits, of_planned = right(at, planned)
            counts[method] += [len(at), hits, len(planned), of_planned, 0]
            counts[method][4] += len(edges)
            counts[f"{method} edges"][0] += right(at, edges)[1]
            decided = decide_breaks(seen if method == "cliplab" else with_cuts(seen, at))
            extents = tuple((each.start_seconds, each.end_seconds) for each in decided)
            found[method].append(RecordingBreaks(extents, truth, seen.duration_seconds))
    for method, recordings in found.items():
        total, hits, wanted, of_planned, edges = counts[method]
        print(json.dumps({
            "bench": "cuts", "method": method, "cuts": int(total), "cut_precision": round(hits / max(total, 1), 3),
            "planned": int(wanted), "cut_recall": round(of_planned / max(wanted, 1), 3), "edges": int(edges),
            "edge_recall": round(counts[f"{method} edges"][0] / max(edges, 1), 3),
            "processor_seconds_per_hour": round(3600 * float(np.mean(spent[method])), 1) if spent[method] else None,
            **figures(recordings),
        }), flush=True)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the cuts that are found in composed evenings.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--most", type=int, help="maximum number of evenings, from the first")
    options = parser.parse_args(arguments)
    bench(options.folder, options.model, options.most)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
