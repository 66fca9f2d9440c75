"""Profiles learned from schedules, and from breaks that a person has corrected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cliplab.detect.adapting import LOGIT_LIMIT, LabelledSeconds, ScoreHead, learn_head
from cliplab.detect.break_evidence import edge_evidence, second_evidence
from cliplab.detect.break_profile import BreakProfile, read_break_profile
from cliplab.detect.observations import Observations
from cliplab.detect.schedules import Schedule, advert_lattice, dwell_times, log_normal

Extent = tuple[float, float]
# How many breaks, adverts and edges the profile to begin from is worth against those that are given.
_PRIOR_BREAKS = 4.0
_PRIOR_ADVERTS = 40.0
_PRIOR_EDGES = 6.0
# Seconds of one recording say much the same; so many of them are worth one.
_SECONDS_PER_SAMPLE = 30.0


@dataclass(frozen=True)
class Corrected:
    """A recording whose breaks somebody has checked.

    Attributes:
        observations: What was seen and heard in it.
        breaks: (start, end) in seconds of each true break.
    """

    observations: Observations
    breaks: tuple[Extent, ...]


def profile_of_schedules(schedules: Iterable[Schedule], prior: BreakProfile | None = None) -> BreakProfile:
    """The profile of channels whose schedules are known; weights of evidence stay those of the prior.

    Args:
        schedules: Recordings as segments.
        prior: The profile to begin from; None: the general one.
    """
    prior = read_break_profile() if prior is None else prior
    lengths = dwell_times(schedules)
    typical, spread = log_normal(lengths.breaks, (prior.typical_break_seconds, prior.break_spread), _PRIOR_BREAKS)
    between = (prior.typical_programme_seconds, prior.programme_spread)
    programme, programme_spread = log_normal(lengths.programmes, between, _PRIOR_BREAKS)
    shares, gaps, off = advert_lattice(lengths.adverts, dict(prior.adverts), _PRIOR_ADVERTS)
    return replace(
        prior,
        typical_break_seconds=typical,
        break_spread=max(spread, 0.05),
        typical_programme_seconds=programme,
        programme_spread=max(programme_spread, 0.05),
        adverts=shares,
        advert_gaps=gaps or prior.advert_gaps,
        off_lattice_share=min(max(off, 0.01), 1.0) if len(lengths.adverts) >= 20 else prior.off_lattice_share,
    )


def learn_profile(
    recordings: Sequence[Corrected], prior: BreakProfile | None = None, model: str | None = None
) -> BreakProfile:
    """The profile of a channel from recordings whose breaks are known: lengths, and what evidence is worth there.

    A weight moves towards what the recordings say, and the less the fewer they are: lengths are log-normal with a
    conjugate prior, and evidence is weighed by the log-odds with which it is seen at true edges and elsewhere
    (Laplace-smoothed), or by how far it separates seconds of breaks from the others (Fisher's linear discriminant).

    Args:
        recordings: Recordings with their true breaks; those without a break count for programme alone.
        prior: The profile to begin from; None: the general one.
        model: The digest of the model that scored the pictures, for which a head is learned too, where it is better on
            seconds that it has not seen; None: no head is learned.

    Returns:
        The profile; the prior itself where no recording is given.
    """
    prior = read_break_profile() if prior is None else prior
    breaks = [end - start for each in recordings for start, end in _inner(each)]
    gaps = [b[0] - a[1] for each in recordings for a, b in zip(each.breaks, each.breaks[1:], strict=False)]
    typical, spread = log_normal(
        [length for length in breaks if length > 0], (prior.typical_break_seconds, prior.break_spread), _PRIOR_BREAKS
    )
    programme, programme_spread = log_normal(
        [gap for gap in gaps if gap > 0], (prior.typical_programme_seconds, prior.programme_spread), _PRIOR_BREAKS
    )
    longest = max([prior.max_break_seconds, *(1.5 * length for length in breaks)])
    shortest = min([prior.min_break_seconds, *(0.8 * length for length in breaks if length > 0)])
    return replace(
        prior,
        typical_break_seconds=min(max(typical, 1.0), 7200.0),
        break_spread=min(max(spread, 0.15), 3.0),
        typical_programme_seconds=min(max(programme, 1.0), 86400.0),
        programme_spread=min(max(programme_spread, 0.15), 3.0),
        max_break_seconds=min(longest, 7200.0),
        min_break_seconds=max(shortest, 0.0),
        second_weights=_second_weights(recordings, prior),
        edge_weights=_edge_weights(recordings, prior),
        score_head=prior.score_head if model is None else _head(recordings, model),
    )


def _head(recordings: Sequence[Corrected], model: str) -> ScoreHead | None:
    """The channel's head; None where it would be no better, or there is too little to learn from."""
    found = learn_head([_labelled(each) for each in recordings], model)
    return found.head if found is not None and found.right_after > found.right_before else None


def _labelled(recording: Corrected) -> LabelledSeconds:
    seen = recording.observations
    scores = np.clip(np.asarray(seen.ad_scores, np.float64), 1e-6, 1 - 1e-6)
    logits = np.clip(np.log(scores / (1 - scores)), -LOGIT_LIMIT, LOGIT_LIMIT)
    middles = seen.times + seen.grid_seconds / 2
    inside = np.zeros(len(middles), bool)
    for start, end in recording.breaks:
        inside |= (middles > start) & (middles < end)
    return LabelledSeconds(seen.features, logits, inside, seen.grid_seconds)


def _inner(recording: Corrected) -> list[Extent]:
    """Breaks that begin and end within the recording, whose lengths are known."""
    end = recording.observations.duration_seconds - 1.0
    return [each for each in recording.breaks if each[0] > 1.0 and each[1] < end]


def _second_weights(recordings: Sequence[Corrected], prior: BreakProfile) -> dict[str, float]:
    """Each row's weight, scaled by how well the row separates breaks from programme here."""
    found = dict(prior.second_weights)
    for name, weight in prior.second_weights.items():
        values: tuple[list[float], list[float]] = ([], [])
        alone = replace(prior, second_weights={name: 1.0})
        for each in recordings:
            row = second_evidence(each.observations, alone).get(name)
            if row is None:
                continue
            middle = each.observations.times + each.observations.grid_seconds / 2
            inside = np.zeros(len(middle), bool)
            for start, end in each.breaks:
                inside |= (middle > start) & (middle < end)
            known = row != 0
            values[0].extend(row[known & ~inside])
            values[1].extend(row[known & inside])
        samples = min(len(values[0]), len(values[1])) / _SECONDS_PER_SAMPLE
        if samples < 1:
            continue
        apart = float(np.mean(values[1]) - np.mean(values[0]))
        within = float(np.var(values[0]) + np.var(values[1])) / 2
        # The discriminant's weight of one independent second, tempered as the general weight of the scores is.
        learned = float(np.clip(0.15 * apart / max(within, 0.05), -0.1, 1.5))
        trust = samples / (samples + _PRIOR_EDGES)
        found[name] = round((1 - trust) * weight + trust * learned, 4)
    return found


def _edge_weights(recordings: Sequence[Corrected], prior: BreakProfile) -> dict[str, float]:
    """Log-odds of each kind of evidence at true edges against other cuts, drawn towards the prior."""
    found = dict(prior.edge_weights)
    at_edges: dict[str, list[float]] = {name: [] for name in found}
    elsewhere: dict[str, list[float]] = {name: [] for name in found}
    for each in recordings:
        cuts = each.observations.cuts
        edges = np.array([edge for extent in each.breaks for edge in extent if edge > 1.0])
        edges = edges[edges < each.observations.duration_seconds - 1.0] if len(edges) else edges
        inside = np.zeros(len(cuts), bool)
        for start, end in each.breaks:
            inside |= (cuts > start - 1.0) & (cuts < end + 1.0)
        for target, moments in ((at_edges, edges), (elsewhere, cuts[~inside])):
            if len(moments):
                values = edge_evidence(each.observations, np.asarray(moments, np.float64))
                for name in found:
                    target[name] += [float(value) for value in values[name]]
    for name, weight in prior.edge_weights.items():
        edges_seen, others = at_edges[name], elsewhere[name]
        if not edges_seen or not others or name == "cut_strength":
            continue
        seen = (sum(value >= 0.5 for value in edges_seen) + 0.5) / (len(edges_seen) + 1)
        usual = (sum(value >= 0.5 for value in others) + 0.5) / (len(others) + 1)
        learned = float(np.clip(np.log(seen / usual), 0.0, 4.0))
        trust = len(edges_seen) / (len(edges_seen) + _PRIOR_EDGES)
        found[name] = round((1 - trust) * weight + trust * learned, 4)
    return found
