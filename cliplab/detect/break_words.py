"""Why a break was decided, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cliplab.detect.observations import Observations

_EDGE_WORDS = {
    "black": "black picture",
    "uniform": "picture of one colour",
    "silence": "silence",
    "loudness_jump": "jump in loudness",
    "aspect_change": "change of the picture's shape",
}
_ROW_WORDS = {
    "ad_scores": ("the model classifies its pictures as advertising", "the model classifies its pictures as programme"),
    "shot_rate": ("shots change fast", "shots change slowly"),
    "logo": ("the station's logo is absent", "the station's logo is present"),
    "speech": ("little speech", "much speech"),
    "music": ("much music", "little music"),
    "repetition": ("adverts are shown more than once in these recordings", "nothing in it is shown elsewhere"),
    "cue": ("the stream's cues mark it", "the stream's cues do not mark it"),
}
_SEEN = 0.5
_LEAST_LOG_ODDS = 0.5


def describe(
    observations: Observations,
    extent: tuple[float, float],
    edges: Sequence[Mapping[str, float]],
    evidence: Mapping[str, float],
) -> tuple[str, ...]:
    """Sentences on a break: its beginning, its end, what its seconds show, and what is unknown.

    Args:
        observations: The recording.
        extent: Start and end in seconds.
        edges: Evidence at the start and at the end, by row, 0..1.
        evidence: Log-odds that the seconds within add, by row.
    """
    start, end = extent
    sentences = [_edge("Begins", start, edges[0]), _edge("Ends", end, edges[1])]
    for positive, title in ((True, "For a break"), (False, "Against")):
        found = [(value, _ROW_WORDS[name][0 if positive else 1]) for name, value in evidence.items()
                 if (value > 0) == positive and abs(value) >= _LEAST_LOG_ODDS]  # fmt: skip
        if found:
            words = [f"{text} ({value:+.1f})" for value, text in sorted(found, key=lambda pair: -abs(pair[0]))]
            sentences.append(f"{title}: {', '.join(words)}.")
    inside = (observations.times >= start) & (observations.times < end)
    unknown = [name for name in ("ad_scores", "logo", "silence", "repetition") if _unknown(observations, name, inside)]
    if unknown:
        sentences.append(f"Unknown here: {', '.join(unknown)}.")
    damaged = sum(max(0.0, min(end, b) - max(start, a)) for a, b in observations.damaged)
    if damaged > 0:
        sentences.append(f"{damaged:.1f} s of it could not be read.")
    return tuple(sentences)


def _unknown(observations: Observations, name: str, inside: np.ndarray) -> bool:
    values = observations.ad_scores if name == "ad_scores" else observations.row(name)
    return bool(not np.isfinite(values[inside]).any())


def _edge(verb: str, seconds: float, edge: Mapping[str, float]) -> str:
    if edge.get("recording_end"):
        return f"{verb} with the recording." if verb == "Ends" else "Has already started when the recording begins."
    found = [words for name, words in _EDGE_WORDS.items() if edge.get(name, 0.0) >= _SEEN]
    if edge.get("cut_strength", 0.0) >= _SEEN:
        found.append("cut")
    where = f"on {', '.join(found)}" if found else "where the evidence changes, without a clear cut"
    return f"{verb} at {seconds:.2f} s {where}."
