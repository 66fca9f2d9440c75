"""Observations of recordings that never were, for the tests of the decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cliplab.detect import Observations

Block = tuple[float, float, Sequence[float]]  # start, end and the edges between adverts, in seconds


def adverts(start: float, lengths: Sequence[float], gap: float = 0.2) -> Block:
    """A break of adverts of these lengths from ``start`` on."""
    edges = start + np.cumsum(np.asarray(lengths, float) + gap)
    return start, float(edges[-1]), [float(edge) for edge in edges[:-1]]


def simulate(
    seconds: float, blocks: Sequence[Block], *, seed: int = 0, separation: float = 2.5, cues: bool = False,
    cuts_per_second: float = 0.12,
) -> Observations:  # fmt: skip
    """Scores at 1 Hz that tell ads by ``separation`` standard deviations, and cuts, more of them within adverts."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(np.ceil(seconds)), dtype=float)
    inside = np.zeros(len(times), bool)
    edges: list[float] = []
    chance = [*rng.uniform(0, seconds, rng.poisson(cuts_per_second * seconds))]
    for start, end, between in blocks:
        inside |= (times + 0.5 > start) & (times + 0.5 < end)
        edges += [edge for edge in (start, end, *between) if 0.3 < edge < seconds - 0.3]
        chance += [*rng.uniform(start, end, rng.poisson(0.4 * (end - start)))]
    logits = separation * (rng.normal(size=len(times)) + np.where(inside, 0.5, -0.5) * separation)
    cuts = np.array(edges + chance)
    kinds = ["black+silence" if cues else "shot"] * len(edges) + ["shot"] * len(chance)
    order = np.argsort(cuts)
    return Observations(
        times=times, ad_scores=(1 / (1 + np.exp(-logits))).astype(np.float32), rows={}, cuts=cuts[order],
        cut_strength=rng.beta(5, 2, len(cuts)).astype(np.float32), cut_kinds=tuple(kinds[place] for place in order),
        duration_seconds=float(seconds),
    )  # fmt: skip
