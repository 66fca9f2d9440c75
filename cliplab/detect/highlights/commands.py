"""`cliplab detect` for several sources: each has its own result, and one that fails does not end the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, ConfigError, DatasetError, describe_failure
from adapters.media import is_live
from cliplab.clips import DEFAULT_MODEL
from cliplab.detect.highlights.candidates import HighlightReport, write_report
from cliplab.detect.highlights.finding import OnProgress, find_highlights
from cliplab.detect.highlights.options import HighlightOptions, parse_headers, parse_shares
from cliplab.detect.highlights.prompts import make_judge
from cliplab.detect.highlights.rating_order import RatingOrder
from cliplab.detect.highlights.stage2 import LEAST_SCORE
from cliplab.library import find_videos
from cliplab.outputs import require_new


def highlight_options(*, before: str | None = None, headers: Iterable[str] = (), **values: Any) -> HighlightOptions:
    """Options as they are typed.

    Args:
        before: Shares before the peak, such as ``cheer=0.7,motion=0.5``.
        headers: HTTP headers, such as ``Referer: https://example.org``.
        **values: Further attributes of ``HighlightOptions``.

    Raises:
        ConfigError: A value is not allowed.
    """
    return HighlightOptions(before_shares=parse_shares(before or ""), headers=parse_headers(list(headers)), **values)


def detect_all(
    sources: str | Path | Sequence[str | Path],
    options: HighlightOptions | None = None,
    *,
    stage2: str | Path | None = None,
    stage2_label: str | None = None,
    stage2_min: float = LEAST_SCORE,
    prompt: str | None = None,
    prompt_model: str | Path | None = None,
    neutral_prompt: str | None = None,
    rating_model: str | Path | None = DEFAULT_MODEL,
    chat: str | Path | None = None,
    trust_adapters: Sequence[str] = (),
    output: str | Path | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
    on_report: Callable[[HighlightReport], object] | None = None,
    on_written: Callable[[Path], object] | None = None,
    on_note: Callable[[str], object] | None = None,
) -> list[HighlightReport]:
    """Find the highlights of several sources.

    Args:
        sources: Files, folders, patterns and URLs.
        options: Lengths, gaps and edges; None: the defaults.
        stage2: As for ``Stage2``, a model that drops candidates and orders them; None: that of the environment where
            ``DETECTION_USE_ML_STAGE2`` is true.
        stage2_label: Which of its labels means a highlight; None: its positive label.
        stage2_min: Candidates that it scores lower are dropped, 0..1.
        prompt: A description of what to find, such as "sunset; dive; fast turn": scores all candidates, and proposes
            stretches that stage 1 did not see; None: nothing.
        prompt_model: With prompt: a folder with an image and a text network; see docs/prompts.md.
        neutral_prompt: With prompt: what else pictures may show; None: the usual ones.
        rating_model: The models of ``cliplab clips train``, which label and order candidates where one serves; None:
            none.
        chat: A log of the chat beside the one source, in JSON lines.
        trust_adapters: As for ``open_model``.
        output: A file of candidates for one source, a folder for several.
        force: Replace outputs that exist.
        on_progress: As for ``find_highlights``.
        on_report: Called with each report when it is done.
        on_written: Called with each file of candidates after its report.
        on_note: Called with a sentence for each stall and damage of a stream.

    Returns:
        A report for each source; where one could not be read, its ``error`` says why.

    Raises:
        ConfigError: No source is named, or an option is not allowed.
        StorageError: An output exists without force, or cannot be written.
    """
    named = _named(sources)
    targets = _targets(named, output)
    for target in targets:
        require_new(target, force)
    if chat is not None and len(named) > 1:
        raise ConfigError(f"chat belongs to one source, got {len(named)}. Give only one of them")
    looker = make_judge(
        stage2=stage2,
        stage2_label=stage2_label,
        stage2_min=stage2_min,
        trust_adapters=trust_adapters,
        prompt=prompt,
        prompt_model=prompt_model,
        neutral_prompt=neutral_prompt,
    )
    ratings = None if rating_model is None else RatingOrder(rating_model)
    reports = []
    for source, target in zip(named, targets, strict=True):
        try:
            report = find_highlights(
                source, options, stage2=looker, ratings=ratings, chat=chat, on_progress=on_progress, on_note=on_note
            )
        except (ConfigError, DatasetError):  # of the run
            raise
        except AdapterError as error:
            report = HighlightReport(source, 0.0, (), error=str(error))
        except Exception as error:
            report = HighlightReport(source, 0.0, (), error=describe_failure(source, error))
        written = target if report.error is None else None
        if written is not None:
            written.parent.mkdir(parents=True, exist_ok=True)
            write_report(written, report)
        reports.append(report)
        if on_report is not None:
            on_report(report)
        if on_written is not None and written is not None:
            on_written(written)
    return reports


def _named(sources: str | Path | Sequence[str | Path]) -> list[str]:
    """Each source once: streams as they are, files of folders and patterns one by one."""
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    found = dict[str, None]()
    for one in map(str, given):
        if is_live(one):
            found[one] = None
        else:
            found.update(dict.fromkeys(find_videos([one])))
    if not found:
        raise ConfigError("no source is given. Give a video, a folder or a URL")
    return list(found)


def _targets(sources: Sequence[str], output: str | Path | None) -> list[Path | None]:
    if output is None:
        return [None] * len(sources)
    if len(sources) == 1 and Path(output).suffix == ".json":
        return [Path(output)]
    if Path(output).suffix and len(sources) == 1:
        raise ConfigError(f"output must be X.json or a folder, got {output}")
    if Path(output).suffix:
        raise ConfigError(
            f"output {output} is one file, but there are {len(sources)} sources. Give an X.json for one source, or a "
            "folder for several"
        )
    targets = dict[Path, str]()
    for source in sources:
        target = Path(output) / f"{Path(source).stem or 'stream'}.json"
        if target in targets:
            raise ConfigError(
                f"output: {targets[target]} and {source} would both be written to {target}. Run the command for each "
                "of them separately"
            )
        targets[target] = source
    return list(targets)
