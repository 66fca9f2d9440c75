"""Prompts describe what to find: they score the moments of a source, propose candidates and order them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from adapters.errors import ConfigError, MediaError
from adapters.inference import ClipFunction, open_model, parse_prompts, prompt_config
from adapters.media import open_video
from adapters.records import Clip, Float64Array, InputSpec, Prediction
from cliplab.detect.highlights.candidates import Candidate
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.detect.highlights.stage2 import LEAST_SCORE, Judge, Stage2, stage2_model

LEAST_PROMPT = 0.5
_BATCH = 16
_SMOOTH_SECONDS = 3  # a prompt that fits one picture alone is seldom meant
_EVENT = "prompt"


class PromptStage:
    """Scores pictures by prompts, one per second: proposes stretches that fit one, and orders all candidates.

    Attributes:
        prompts: Texts that describe what to find.
        least: A stretch with a lower score, 0..1, is not proposed.
    """

    def __init__(
        self,
        prompt: str,
        folder: str | Path | None,
        *,
        neutral: str | None = None,
        least: float = LEAST_PROMPT,
        stage2: Stage2 | None = None,
    ) -> None:
        """Open the pair of networks.

        Args:
            prompt: Prompts as they are typed, such as "sunset; dive; fast turn".
            folder: The folder of the pair.
            neutral: What else pictures may show, in the same form; None for the usual ones.
            least: A stretch with a lower score is not proposed, 0..1.
            stage2: A model that drops candidates before; None: none.

        Raises:
            ConfigError: The prompts or the folder are not allowed; says which files the folder has to hold.
            BundleError: A network of the folder is damaged.
        """
        self.prompts, self.least, self._stage2 = parse_prompts(prompt), least, stage2
        others = None if neutral is None else parse_prompts(neutral, "neutral prompt")
        self._adapter = open_model(prompt_config(self.prompts, folder, others))
        self._spec = replace(
            self._adapter.input_spec, n_frames=1, sampling="rate", fps=1.0, window_seconds=None, stride_seconds=1.0
        )
        self._known: tuple[str, Float64Array, Float64Array] | None = None

    def propose(self, source: str | Path, options: HighlightOptions, duration: float) -> list[Candidate]:
        """Stretches that fit a prompt, with ``clip_seconds`` around their best moment, the best first.

        Args:
            source: A file with pictures.
            options: Lengths and gaps.
            duration: Where the source ends, in seconds.
        """
        times, scores = self._scores(source)
        if not len(times):
            return []
        width = min(_SMOOTH_SECONDS, len(times))
        smooth = np.stack([np.convolve(row, np.ones(width) / width, "same") for row in scores.T], axis=1)
        best, found = smooth.max(axis=1), list[Candidate]()
        for place in np.argsort(-best, kind="stable"):
            peak = float(times[place])
            if best[place] < self.least:
                break
            if all(abs(peak - one.peak) >= max(options.min_gap_seconds, options.clip_seconds) for one in found):
                start = max(min(peak - options.clip_seconds / 2, duration - options.clip_seconds), 0.0)
                end = min(start + options.clip_seconds, max(duration, peak))
                found.append(Candidate(round(start, 3), round(end, 3), round(peak, 3), "video", _EVENT, 0.0, {}, 0.0))
        return found

    def apply(
        self, source: str | Path, candidates: Sequence[Candidate], offset: float = 0.0
    ) -> tuple[list[Candidate], str, list[str]]:
        """Score candidates by their prompts; none is dropped, but by ``stage2``.

        Args:
            source: The file that they are of.
            candidates: In any order.
            offset: Where the file begins in the source of the candidates, in seconds.

        Returns:
            Those that are kept with their new scores, in the order given; the models' names; and notes.
        """
        kept, name, notes = list(candidates), "prompts", list[str]()
        if self._stage2 is not None:
            kept, stage2, notes = self._stage2.apply(source, kept, offset)
            name = f"{stage2}, prompts"
        if not kept:
            return kept, name, notes
        try:
            times, scores = self._scores(source)
        except MediaError as error:
            return kept, name, [*notes, f"prompts were not compared ({error})"]
        return [self._scored(one, times + offset, scores) for one in kept], name, notes

    def _scored(self, one: Candidate, times: Float64Array, scores: Float64Array) -> Candidate:
        inside = scores[(times >= one.start - 0.5) & (times <= one.end + 0.5)]
        if not len(inside):
            return one
        # The mean of the best quarter: what is seen for a while counts, and a clip need not show it all the time.
        count = max(1, math.ceil(len(inside) / 4))
        values = np.sort(inside, axis=0)[-count:].mean(axis=0)
        found = {name: round(float(value), 4) for name, value in zip(self.prompts, values, strict=True)}
        return replace(one, prompts=found, score=0.8 * max(found.values()) + 0.2 * one.score)

    def _scores(self, source: str | Path) -> tuple[Float64Array, Float64Array]:
        """Seconds [N] and scores [N, prompts] of a file, one row per second; those of the last file are kept."""
        if self._known is None or self._known[0] != _identity(source):
            times, rows = list[float](), list[Float64Array]()
            for clip, prediction in self._predictions(source, self._spec):
                times.append(float(clip.times[0]))
                rows.append(prediction.scores[: len(self.prompts)].astype(np.float64))
            shape = (len(rows), len(self.prompts))
            self._known = _identity(source), np.array(times, np.float64), np.array(rows, np.float64).reshape(shape)
        return self._known[1], self._known[2]

    def _predictions(self, source: str | Path, spec: InputSpec) -> Iterator[tuple[Clip, Prediction]]:
        predict, batch = ClipFunction(self._adapter.predict), list[Clip]()

        def flush() -> Iterator[tuple[Clip, Prediction]]:
            for clip, result in zip(batch, predict(batch), strict=True):
                if isinstance(result, Prediction):
                    yield clip, result
            batch.clear()

        with open_video(source) as video:
            for clip in video.clips(spec):
                batch.append(clip)
                if len(batch) == _BATCH:
                    yield from flush()
        if batch:
            yield from flush()


def make_judge(
    *,
    stage2: str | Path | None = None,
    stage2_label: str | None = None,
    stage2_min: float = LEAST_SCORE,
    trust_adapters: Sequence[str] = (),
    prompt: str | None = None,
    prompt_model: str | Path | None = None,
    neutral_prompt: str | None = None,
) -> Judge | None:
    """What judges candidates, as the options of commands ask for it.

    Args:
        stage2: As for ``detect_all``.
        stage2_label: As for ``detect_all``.
        stage2_min: As for ``detect_all``.
        trust_adapters: As for ``open_model``.
        prompt: As for ``detect_all``.
        prompt_model: As for ``detect_all``.
        neutral_prompt: As for ``detect_all``.

    Returns:
        None where neither a model nor prompts are asked for.

    Raises:
        ConfigError: An option is not allowed.
        BundleError: A model is damaged.
    """
    model = stage2_model() if stage2 is None else stage2
    looker = (
        None if model is None else Stage2(model, label=stage2_label, least=stage2_min, trust_adapters=trust_adapters)
    )
    if prompt is None:
        if prompt_model is not None or neutral_prompt is not None:
            raise ConfigError('a prompt model needs a prompt that says what to look for: --prompt "sunset; dive"')
        return looker
    return PromptStage(prompt, prompt_model, neutral=neutral_prompt, stage2=looker)


def _identity(source: str | Path) -> str:
    """A file by its name and time: pieces of a stream follow each other under one name."""
    status = Path(source).stat()
    return f"{source} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


def add_proposals(candidates: Sequence[Candidate], proposed: Sequence[Candidate], gap: float) -> list[Candidate]:
    """Candidates of stage 1, and proposed ones that none of them covers.

    Args:
        candidates: Of stage 1.
        proposed: By prompts.
        gap: Minimum time from one peak to the next, in seconds.

    Returns:
        All of them in the order of time.
    """
    new = [
        one
        for one in proposed
        if not any(abs(one.peak - old.peak) < gap or old.start <= one.peak <= old.end for old in candidates)
    ]
    return sorted([*candidates, *new], key=lambda one: one.start)
