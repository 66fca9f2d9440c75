"""Cuts between key frames: where the encoder itself saw one they are exact, and elsewhere known to a second or so."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from adapters.records import Float32Array, Float64Array
from cliplab.detect.looks import Looks

CHANGED = 0.35  # of the colours, from one second to the next: another shot
_CHANGED_AT_KEY = 0.2  # the same where the encoder began a group of pictures out of turn
_USUAL_SHARE, _USUAL_LEAST = 0.05, 3  # of the distances of key frames, from which a distance is the encoder's own


def keys_out_of_turn(keys: Sequence[float]) -> Float64Array:
    """Key frames that come sooner than the encoder's own distance: it saw another shot begin there.

    Args:
        keys: When key frames are shown, in order.

    Returns:
        float64 [N], their times; empty where there are too few key frames to know the encoder's distance.
    """
    at = np.asarray(keys, np.float64)
    if len(at) <= _USUAL_LEAST:
        return np.zeros(0)
    apart = np.round(np.diff(at), 2)
    lengths, counts = np.unique(apart, return_counts=True)
    usual = lengths[counts >= max(_USUAL_SHARE * len(apart), _USUAL_LEAST)]
    regular = float(usual.max(initial=0.0)) or math.inf
    sooner = apart < regular - 0.05
    sooner &= ~np.isin(apart, usual)
    # An encoder that keeps its grid has a short distance before such a key frame and the rest of it after.
    rest = np.append(False, sooner[:-1] & (np.abs(apart[:-1] + apart[1:] - regular) < 0.05))
    keeps_grid = 2 * rest.sum() > 0.5 * sooner.sum()
    return np.asarray(at[1:][sooner & ~rest if keeps_grid else sooner])


def key_cuts(looks: Looks, begun: Float64Array) -> list[tuple[float, float, str]]:
    """Changes from one key frame to the next, and black ones.

    They are known to a second or so, as not every key frame is looked at, or at the cut; but where groups of pictures
    begin out of turn (``begun``), the cuts are there.

    Args:
        looks: Of the frames that were looked at, about one per second.
        begun: As ``keys_out_of_turn`` returns them.

    Returns:
        (seconds, strength in 0..1, kind) of each.
    """
    found = []
    rows = zip(looks.seconds, looks.recolored, looks.uniform, strict=True)
    before = -math.inf
    for seconds, change, dark in rows:
        here = begun[(begun > before + 1e-3) & (begun < seconds + 1e-3)]
        if change > (_CHANGED_AT_KEY if len(here) else CHANGED):
            cuts = here.tolist() or [seconds]
            found += [(each, min(0.3 + change / 2, 0.7), "shot") for each in cuts]
        if dark:
            found.append((seconds, 0.8, "black"))
        before = seconds
    return found


def cut_slack(cuts: Float64Array, kinds: Sequence[str], looks: Looks, begun: Float64Array, most: float) -> Float32Array:
    """How long before its time each cut may be: since the last frame that was looked at.

    Args:
        cuts: float64 [K], seconds.
        kinds: Of each; those of sound alone are exact.
        looks: Of the frames that were looked at.
        begun: As ``keys_out_of_turn`` returns them; cuts there are exact.
        most: Seconds that no cut may be early by.

    Returns:
        float32 [K], seconds.
    """
    seen, exact = np.array(looks.seconds), set(begun.tolist())
    place = np.searchsorted(seen, cuts - 1e-6) - 1
    found = np.zeros(len(cuts), np.float32)
    for number, (seconds, kind) in enumerate(zip(cuts, kinds, strict=True)):
        if kind != "silence" and float(seconds) not in exact and place[number] >= 0:
            found[number] = min(seconds - seen[place[number]], most)
    return found
