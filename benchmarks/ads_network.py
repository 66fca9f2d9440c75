"""A small temporal network over scores and cuts, the decoder's rival on real schedules.

    python benchmarks/ads_network.py [TV_SEGMENTS.jsonl] [--every N] [--steps N]

A temporal convolutional network (S. Bai, J. Z. Kolter and V. Koltun, "An empirical evaluation of generic convolutional
and recurrent networks for sequence modeling", 2018, here not causal): five dilated convolutions of 16 channels see 62 s
on each side. It is trained on simulated observations of two thirds of the channels of tv_segments.jsonl, as
bench_ads.py simulates them, with an area under the ROC curve drawn between 0.88 and 0.995, and judged on the others.
Its breaks are the stretches above a half, no shorter than 10 s, with each edge on the strongest cut within 3 s.

Prints a JSON line for each area under the curve, beside that of bench_ads.py schedules. Needs TensorFlow (extra train).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from bench_ads import ROOT, figures, simulate

from adapters.evaluation import RecordingBreaks
from cliplab.detect import Observations, Schedule, read_schedules

FOLDS, CROP_SECONDS, BATCH, CHANNELS, KERNEL = 3, 480, 16, 16, 5
DILATIONS = (1, 2, 4, 8, 16)
LEAST_SECONDS, SNAP_SECONDS = 10.0, 3.0


def inputs_of(seen: Observations) -> Any:
    """What the network sees of each second: the score's log-odds, cuts and the strongest cut, float32 [T, 3]."""
    count = len(seen.times)
    scores = np.clip(seen.ad_scores, 1e-4, 1 - 1e-4)
    cuts, strongest = np.zeros(count), np.zeros(count)
    place = np.minimum(seen.cuts.astype(int), count - 1)
    np.add.at(cuts, place, 1.0)
    np.maximum.at(strongest, place, seen.cut_strength)
    return np.stack([np.log(scores / (1 - scores)) / 4, np.minimum(cuts, 3), strongest], axis=1).astype(np.float32)


def truth_of(schedule: Schedule, count: int) -> Any:
    """1 in breaks of two adverts or more, 0 in programme, NaN in single adverts, float32 [T]."""
    middles, found = np.arange(count) + 0.5, np.zeros(count, np.float32)
    for start, end, kind in schedule.segments:
        if kind in ("advert", "promo", "separator"):
            found[(middles > start) & (middles < end)] = np.nan
    for block in schedule.blocks():
        found[(middles > block[0][0]) & (middles < block[-1][1])] = 1.0
    return found


def build() -> Any:
    """The network: [B, T, 3] to log-odds [B, T, 1]."""
    import tensorflow as tf

    layers = tf.keras.layers
    here = inputs = tf.keras.Input((None, 3))
    for number, dilation in enumerate(DILATIONS):
        made = layers.Conv1D(CHANNELS, KERNEL, padding="same", dilation_rate=dilation, activation="relu")(here)
        here = layers.add([here, made]) if number else made
    return tf.keras.Model(inputs, layers.Conv1D(1, 1)(here))


def train(schedules: list[Schedule], steps: int, seed: int) -> Any:
    """A network trained on crops of simulated observations."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    rng, network = np.random.default_rng(seed), build()
    optimizer = tf.keras.optimizers.Adam(3e-3)
    made = []
    for number, schedule in enumerate(schedules):
        seen = simulate(schedule, float(rng.uniform(0.88, 0.995)), 1000 * seed + number)
        if len(seen.times) > CROP_SECONDS:
            made.append((inputs_of(seen), truth_of(schedule, len(seen.times))))

    @tf.function(reduce_retracing=True)
    def step(batch: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = network(batch, training=True)[..., 0]
            known = tf.math.is_finite(targets)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.where(known, targets, 0.0), logits)
            loss = tf.reduce_mean(tf.where(known, losses, 0.0))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    for _ in range(steps):
        crops = []
        for _ in range(BATCH):
            rows, targets = made[rng.integers(len(made))]
            first = int(rng.integers(len(rows) - CROP_SECONDS))
            crops.append((rows[first : first + CROP_SECONDS], targets[first : first + CROP_SECONDS]))
        step(np.stack([rows for rows, _ in crops]), np.stack([targets for _, targets in crops]))
    return network


def breaks_of(network: Any, seen: Observations) -> tuple[tuple[float, float], ...]:
    """Stretches above a half, each edge on the strongest cut nearby."""
    on = (np.asarray(network(inputs_of(seen)[None]))[0, :, 0] > 0).astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on, [0]]))).astype(float)

    def snapped(edge: float) -> float:
        near = np.flatnonzero(np.abs(seen.cuts - edge) <= SNAP_SECONDS)
        return float(seen.cuts[near[seen.cut_strength[near].argmax()]]) if len(near) else edge

    pairs = [(snapped(a), snapped(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= LEAST_SECONDS]
    return tuple((a, b) for a, b in pairs if b > a)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure a small temporal network on real schedules.")
    parser.add_argument("schedules", type=Path, nargs="?")
    parser.add_argument("--every", type=int, default=1, help="judge one recording of N")
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args(arguments)
    schedules = read_schedules(options.schedules or ROOT.parent / "shared/media/real/tv_segments.jsonl")
    channels = sorted({each.channel for each in schedules})
    fold = {channel: number % FOLDS for number, channel in enumerate(channels)}
    judged, spent = schedules[:: options.every], defaultdict(float)
    rows: dict[float, list[RecordingBreaks]] = defaultdict(list)
    for number in range(FOLDS):
        network = train([each for each in schedules if fold[each.channel] != number], options.steps, number)
        for place, schedule in enumerate(judged):
            if fold[schedule.channel] != number:
                continue
            truth = tuple((block[0][0], block[-1][1]) for block in schedule.blocks())
            single = [(a, b) for a, b, kind in schedule.segments if kind in ("advert", "promo", "separator")]
            ignored = tuple((a, b) for a, b in single if not any(s <= a and b <= e for s, e in truth))
            for auc in (0.9, 0.95, 0.99):
                seen, began = simulate(schedule, auc, place), time.process_time()
                found = breaks_of(network, seen)
                spent[auc] += time.process_time() - began
                rows[auc].append(RecordingBreaks(found, truth, seen.duration_seconds, ignored, schedule.channel))
    for auc, recordings in rows.items():
        hours = sum(each.duration_seconds for each in recordings) / 3600
        shown = {"bench": "schedules", "auc": auc, "method": "temporal network", **figures(recordings)}
        print(json.dumps({**shown, "decide_seconds_per_hour": round(spent[auc] / hours, 3)}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
