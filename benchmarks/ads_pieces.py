"""The decoder on a model's real scores of composed evenings with the picture alone, without encoding any of them.

    python benchmarks/ads_pieces.py MODEL [--adverts FROM:TO] [--seeds FROM:TO]

Frames of the pieces of evening_pieces.py (split "test") are drawn or decoded once per second and at the edges of their
shots, and scored by the model. Evenings are then put together from the scores as evening.py lays them out: 12 min, with
two or three breaks of three to six adverts. What encoding does to the picture, and finding cuts by looking, are left
out: cuts are known, but for one of fifty. Two kinds of evening:

    again   sources of programme come again within the evening, as in evening.py
    once    each shot of programme is shown once: 5 min of programme

Prints a JSON line for each kind and method: the model's scores alone, and with the recording's own pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from bench_ads import figures
from evening_pieces import SCENES, TEMPLATES, _sample_footage, advert_plan, cartoons, footage, footage_frames
from evening_pieces import programme_files as files_of

from adapters.evaluation import RecordingBreaks
from adapters.inference import open_model
from adapters.records import Clip
from cliplab.detect import Observations, decide_breaks
from cliplab.detect.adapting import short_features
from cliplab.detect.observing import ad_index

SPLIT, MINUTES, SIDE_SECONDS, MISSED_CUTS = "test", 12.0, 0.8, 0.02
Judge = Any  # frames to scores [N] and features [N, 64]


@dataclass(frozen=True, eq=False)
class Judged:
    """A piece with what the model says of it.

    Attributes:
        seconds: Its length.
        cuts: Seconds of the cuts within it.
        at: Seconds of the frames that were scored, float64 [N].
        scores: float32 [N].
        features: float16 [N, 64].
    """

    seconds: float
    cuts: tuple[float, ...]
    at: Any
    scores: Any
    features: Any


def judge_with(model: str) -> Judge:
    """A function from frames to scores and short features."""
    adapter = open_model(model)
    index = ad_index(adapter)

    def judge(frames: list[Any]) -> tuple[Any, Any]:
        found = []
        for first in range(0, len(frames), 16):
            clips = [Clip(each[None], np.zeros(1), "frame", 0.0, 1.0) for each in frames[first : first + 16]]
            found += adapter.predict_with_features(clips)
        scores = np.array([each.scores[index] for each, _ in found], np.float32)
        return scores, np.stack([short_features(features) for _, features in found if features is not None])

    return judge


def programme(judge: Judge) -> Iterator[Judged]:
    """The shots of programme."""
    for number, (path, start, seconds) in enumerate(files_of(SPLIT)):
        frames = list(footage_frames(path, start, seconds, 4, (1.0, 0.85, 0.7)[number % 3]))
        if len(frames) >= 4:
            places = sorted({*range(0, len(frames), 4), 1, len(frames) - 1})
            yield Judged(len(frames) / 4, (), np.array(places) / 4, *judge([frames[place] for place in places]))
    for scene in SCENES[SPLIT]["programme"]:
        for seed in (11, 12):
            at = [0.0, 0.3, 1.0, 2.0, 3.0, 4.0, 4.7]
            yield Judged(5.0, (), np.array(at), *judge([cartoons.render(scene, seed, moment) for moment in at]))


def adverts(judge: Judge, numbers: range) -> Iterator[Judged]:
    """Adverts by number."""
    folder = _sample_footage()
    for number in numbers:
        style, shots, seconds = advert_plan(SPLIT, number)
        edges = np.cumsum([0.0, *(length for _, _, length in shots)])
        at = sorted({*np.arange(0, seconds), *(edges[:-1] + 0.3), *(edges[1:] - 0.3)})
        frames = []
        for moment in at:
            place = min(int(np.searchsorted(edges, moment + 1e-6, side="right")) - 1, len(shots) - 1)
            (template, background, length), inner = shots[place], moment - edges[place]
            if isinstance(background, footage.Take):
                image = footage.render(folder, background, inner, length).copy()
            else:
                image = cartoons.render(*background, inner)
            frames.append(image if template is None else TEMPLATES[template](image, inner, length, style))
        yield Judged(seconds, tuple(map(float, edges[1:-1])), np.array(at), *judge(frames))


def evening(shots: list[Judged], ads: list[Judged], seed: int, once: bool) -> tuple[Observations, Any]:
    """An evening's observations and its true breaks."""
    rng = np.random.default_rng([seed, 5])
    order, count = list(rng.permutation(len(ads))), int(rng.integers(2, 4))
    lengths = [int(rng.integers(3, 7)) for _ in range(count)]
    while sum(lengths) > len(order):
        lengths[int(np.argmax(lengths))] -= 1
    blocks = [[ads[order.pop()] for _ in range(length)] for length in lengths]
    left = max(60 * MINUTES - sum(each.seconds for block in blocks for each in block), 120.0 * count)
    left = sum(each.seconds for each in shots) - 8.0 if once else left
    parts: list[tuple[Judged, int]] = []
    queue: list[Judged] = []
    for number, share in enumerate(rng.dirichlet(np.full(count + 1, 6.0)) * left):
        filled = 0.0
        while filled < share:
            queue = queue or [shots[place] for place in rng.permutation(len(shots))]
            parts.append((queue.pop(), -1))
            filled += parts[-1][0].seconds
        parts += [(each, number) for each in (blocks[number] if number < count else [])]
    return observed(parts, rng)


def observed(parts: list[tuple[Judged, int]], rng: Any) -> tuple[Observations, Any]:
    """The pieces in a row as observations, and the breaks among them."""
    end, cuts, extents = 0.0, list[float](), dict[int, list[float]]()
    at, scores, features = list[Any](), list[Any](), list[Any]()
    for each, number in parts:
        if number >= 0:
            extents.setdefault(number, [end, end])[1] = end + each.seconds
        cuts += [end] if end else []
        cuts += [end + cut for cut in each.cuts]
        at.append(end + each.at)
        scores.append(each.scores)
        features.append(each.features)
        end += each.seconds
    moments, values = np.concatenate(at), np.concatenate(scores)
    times = np.arange(int(np.ceil(end)), dtype=float)
    place = np.maximum(np.searchsorted(moments, times + 1 - 1e-6) - 1, 0)
    kept = np.array([cut for cut in cuts if rng.random() > MISSED_CUTS])
    strength = []
    for cut in kept:
        before = values[(moments >= cut - SIDE_SECONDS) & (moments < cut - 1e-3)]
        after = values[(moments >= cut - 1e-3) & (moments < cut + SIDE_SECONDS)]
        change = abs(float(np.median(after) - np.median(before))) if len(before) and len(after) else 0.5
        strength.append(min(0.5 * rng.beta(5, 2) + 0.7 * change, 1.0))
    seen = Observations(
        times=times, ad_scores=np.clip(values[place], 0, 1), rows={}, cuts=kept,
        cut_strength=np.array(strength, np.float32), cut_kinds=("shot",) * len(kept), duration_seconds=end,
        features=np.concatenate(features)[place],
    )  # fmt: skip
    return seen, tuple((start, finish) for start, finish in extents.values())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the decoder on a model's scores of composed evenings.")
    parser.add_argument("model")
    parser.add_argument("--adverts", default="0:30", metavar="FROM:TO")
    parser.add_argument("--seeds", default="0:10", metavar="FROM:TO")
    options = parser.parse_args(arguments)
    judge = judge_with(options.model)
    shots = list(programme(judge))
    ads = list(adverts(judge, range(*map(int, options.adverts.split(":")))))
    report(shots, ads, range(*map(int, options.seeds.split(":"))))
    return 0


def report(shots: list[Judged], ads: list[Judged], seeds: range) -> None:
    """Print the figures."""
    for kind in ("again", "once"):
        made = [evening(shots, ads, seed, kind == "once") for seed in seeds]
        for method in ("model", "model and own pictures"):
            rows, began = [], time.process_time()
            for seen, truth in made:
                seen = seen if method != "model" else replace(seen, features=seen.features[:0])
                found = tuple((each.start_seconds, each.end_seconds) for each in decide_breaks(seen))
                rows.append(RecordingBreaks(found, truth, seen.duration_seconds))
            spent = round((time.process_time() - began) / len(made), 3)
            shown = {"evenings": kind, "method": method, **figures(rows), "decide_seconds": spent}
            print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
