"""The commands `cliplab detect` and `cliplab generate` as functions with the arguments of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cliplab.clips import DEFAULT_MODEL
from cliplab.detect.highlights.candidates import HighlightReport
from cliplab.detect.highlights.commands import detect_all, highlight_options
from cliplab.detect.highlights.generating import DEFAULT_OUTPUT, KEEP_AROUND_SECONDS, GenerateReport, generate_clips
from cliplab.detect.highlights.prompts import make_judge
from cliplab.detect.highlights.rating_order import RatingOrder
from cliplab.detect.highlights.stage2 import LEAST_SCORE


def detect(
    sources: str | Path | Sequence[str | Path],
    *,
    clip_seconds: float = 30.0,
    min_gap_seconds: float = 30.0,
    min_score: float = 0.3,
    most: int | None = None,
    before: str | None = None,
    snap_seconds: float = 1.5,
    frames: str = "auto",
    audio_stream: int | None = None,
    header: Sequence[str] = (),
    quality: str = "best",
    stage2: str | Path | None = None,
    stage2_min: float = LEAST_SCORE,
    stage2_label: str | None = None,
    prompt: str | None = None,
    prompt_model: str | Path | None = None,
    neutral_prompt: str | None = None,
    rating_model: str | Path | None = DEFAULT_MODEL,
    chat: str | Path | None = None,
    trust_adapters: Sequence[str] = (),
    output: str | Path | None = None,
    force: bool = False,
    **options: Any,
) -> list[HighlightReport]:
    """Find highlights: ``detect_all`` with the attributes of ``HighlightOptions`` as arguments.

    Args:
        sources: As for ``detect_all``.
        clip_seconds: As in ``HighlightOptions``.
        min_gap_seconds: As in ``HighlightOptions``.
        min_score: As in ``HighlightOptions``.
        most: As in ``HighlightOptions``.
        before: Shares before the peak, such as ``cheer=0.7,motion=0.5``.
        snap_seconds: As in ``HighlightOptions``.
        frames: As in ``HighlightOptions``.
        audio_stream: As in ``HighlightOptions``.
        header: HTTP headers, such as ``Referer: https://example.org``.
        quality: As in ``HighlightOptions``.
        stage2: As for ``detect_all``.
        stage2_min: As for ``detect_all``.
        stage2_label: As for ``detect_all``.
        prompt: As for ``detect_all``.
        prompt_model: As for ``detect_all``.
        neutral_prompt: As for ``detect_all``.
        rating_model: As for ``detect_all``.
        chat: As for ``detect_all``.
        trust_adapters: As for ``open_model``.
        output: As for ``detect_all``.
        force: As for ``detect_all``.
        **options: Further arguments of ``detect_all``.

    Returns:
        As ``detect_all``.
    """
    looked_for = highlight_options(
        clip_seconds=clip_seconds,
        min_gap_seconds=min_gap_seconds,
        min_score=min_score,
        most=most,
        before=before,
        snap_seconds=snap_seconds,
        frames=frames,
        audio_stream=audio_stream,
        headers=header,
        quality=quality,
    )
    return detect_all(
        sources,
        looked_for,
        stage2=stage2,
        stage2_min=stage2_min,
        stage2_label=stage2_label,
        prompt=prompt,
        prompt_model=prompt_model,
        neutral_prompt=neutral_prompt,
        rating_model=rating_model,
        chat=chat,
        trust_adapters=trust_adapters,
        output=output,
        force=force,
        **options,
    )


def generate(
    source: str | Path,
    output: str | Path = DEFAULT_OUTPUT,
    *,
    database: str | Path = "clips.db",
    no_database: bool = False,
    clip_seconds: float = 30.0,
    min_gap_seconds: float = 30.0,
    min_score: float = 0.3,
    most: int | None = None,
    before: str | None = None,
    header: Sequence[str] = (),
    quality: str = "best",
    keep_around: float = KEEP_AROUND_SECONDS,
    stage2: str | Path | None = None,
    stage2_min: float = LEAST_SCORE,
    stage2_label: str | None = None,
    prompt: str | None = None,
    prompt_model: str | Path | None = None,
    neutral_prompt: str | None = None,
    rating_model: str | Path = DEFAULT_MODEL,
    chat: str | Path | None = None,
    trust_adapters: Sequence[str] = (),
    dry_run: bool = False,
    **options: Any,
) -> GenerateReport:
    """Write highlights as clips: ``generate_clips`` with models by path and options as arguments.

    Args:
        source: As for ``generate_clips``.
        output: As for ``generate_clips``.
        database: As for ``generate_clips``.
        no_database: Do not enter the clips anywhere.
        clip_seconds: As in ``HighlightOptions``.
        min_gap_seconds: As in ``HighlightOptions``.
        min_score: As in ``HighlightOptions``.
        most: As in ``HighlightOptions``.
        before: As for ``detect``.
        header: As for ``detect``.
        quality: As in ``HighlightOptions``.
        keep_around: ``keep_around_seconds`` of ``generate_clips``.
        stage2: As for ``detect_all``.
        stage2_min: As for ``detect_all``.
        stage2_label: As for ``detect_all``.
        prompt: As for ``detect_all``.
        prompt_model: As for ``detect_all``.
        neutral_prompt: As for ``detect_all``.
        rating_model: As for ``detect_all``.
        chat: As for ``generate_clips``.
        trust_adapters: As for ``open_model``.
        dry_run: As for ``generate_clips``.
        **options: Further arguments of ``generate_clips``.

    Returns:
        As ``generate_clips``.
    """
    looked_for = highlight_options(
        clip_seconds=clip_seconds,
        min_gap_seconds=min_gap_seconds,
        min_score=min_score,
        most=most,
        before=before,
        headers=header,
        quality=quality,
    )
    looker = make_judge(
        stage2=stage2,
        stage2_label=stage2_label,
        stage2_min=stage2_min,
        trust_adapters=trust_adapters,
        prompt=prompt,
        prompt_model=prompt_model,
        neutral_prompt=neutral_prompt,
    )
    return generate_clips(
        source,
        output,
        database=None if no_database else database,
        options=looked_for,
        stage2=looker,
        ratings=RatingOrder(rating_model),
        chat=chat,
        dry_run=dry_run,
        keep_around_seconds=keep_around,
        **options,
    )
