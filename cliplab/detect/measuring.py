"""Measures of the breaks of recordings, and a channel's profile learned from corrected breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from adapters.bundle import model_digest
from adapters.errors import AdapterError, ConfigError, DatasetError
from adapters.evaluation import COSTS, GATES, BreakReport, RecordingBreaks, check_gates, measure_breaks
from adapters.inference import open_model
from adapters.media import check_source
from adapters.system import write_json_atomic
from cliplab.detect.break_decoder import decide_breaks
from cliplab.detect.break_learning import Corrected, learn_profile
from cliplab.detect.break_profile import BreakProfile, read_break_profile
from cliplab.detect.observing import OnProgress, ad_index
from cliplab.detect.profiles import read_profile
from cliplab.detect.recordings import Job, find_in_recording
from cliplab.detect.truth import breaks_beside, labelled_breaks, require_within
from cliplab.library import find_videos
from cliplab.outputs import require_new


@dataclass(frozen=True)
class SegmentEvaluation:
    """The result of ``evaluate_breaks``.

    Attributes:
        report: The measures.
        failures: One sentence for each gate of the config that was missed.
        skipped: (recording, why) of those that could not be read.
    """

    report: BreakReport
    failures: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        skipped = [{"path": path, "error": error} for path, error in self.skipped]
        return {**self.report.to_json(), "gate_failures": list(self.failures), "skipped": skipped}


def evaluate_breaks(
    model: str | Path,
    data: str | Path,
    *,
    output: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> SegmentEvaluation:
    """Find the breaks of recordings as ``cliplab ads`` does, and measure them against the true ones.

    Args:
        model: A saved model with a label for ads; its config's "break_profile" says what breaks are like.
        data: A folder of recordings with a file of marks (.edl) beside each, or a data set of stretches of recordings.
        output: A folder for break_metrics.json, or a file X.json; None writes nothing.
        overrides: Config keys to change.
        store: Folder where observations are kept; None: the cache.
        force: Replace output if it exists.
        trust_adapters: As for ``open_model``.
        on_progress: As for ``observe``.

    Returns:
        The measures, and the gates of the config on precision, recall and F1 that breaks miss.

    Raises:
        ConfigError: A key is wrong, or the model has no label for ads.
        DatasetError: The true breaks of a recording are unknown.
        StorageError: The output exists, or cannot be written.
    """
    require_new(output, force)
    adapter = open_model(model, overrides, trust_adapters)
    label = adapter.labels[ad_index(adapter)]
    profile = read_break_profile(adapter.config["break_profile"])
    job = Job(
        adapter,
        model_digest(model),
        None,
        profile,
        None,
        None,
        None if store is None else Path(store),
        False,
        on_progress,
    )
    rows, skipped = [], []
    for path, truth in labelled_breaks(data, label).items():
        try:
            found = find_in_recording(path, job)
            require_within(path, truth, found.duration_seconds, data)
        except ConfigError:
            raise
        except AdapterError as error:
            skipped.append((path, str(error)))
            continue
        extents = tuple((each.start_seconds, each.end_seconds) for each in found.breaks)
        rows.append(RecordingBreaks(extents, truth, found.duration_seconds, found.unknown))
    if not rows:
        raise DatasetError(f"{data}: no recording could be read: {skipped[0][1] if skipped else 'the folder has none'}")
    report = measure_breaks(rows)
    if output is not None:
        target = Path(output)
        write_json_atomic(
            target if target.suffix.lower() == ".json" else target / "break_metrics.json", report.to_json()
        )
    return SegmentEvaluation(report, tuple(_gate_failures(report, adapter.config["gates"])), tuple(skipped))


def _gate_failures(report: BreakReport, gates: Mapping[str, float]) -> list[str]:
    """The gates on precision, recall and F1, held against those of breaks."""
    judged = {name: value for name, value in gates.items() if GATES[name][0] in ("precision", "recall", "f1")}
    figures: Any = SimpleNamespace(
        precision=report.precision, recall=report.recall, f1=report.f1, labels_without_clips=(), **dict.fromkeys(COSTS)
    )
    return check_gates(figures, judged)


@dataclass(frozen=True)
class LearnedProfile:
    """The result of ``learn_breaks``.

    Attributes:
        profile: What breaks of the channel are like.
        output: The file that holds it.
        recordings: How many recordings it was learned from.
        breaks: How many breaks they have.
        before: How good the breaks of the profile to begin from are in these recordings.
        after: How good those of the learned profile are; for each recording it is learned from the others, where there
            are others.
        held_out: Whether ``after`` is so measured.
        notes: What was left out because it made the breaks no better, in sentences without a full stop.
    """

    profile: BreakProfile
    output: str
    recordings: int
    breaks: int
    before: BreakReport
    after: BreakReport
    held_out: bool
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "output": self.output, "recordings": self.recordings, "breaks": self.breaks, "held_out": self.held_out,
            "head": self.profile.score_head is not None, "notes": list(self.notes),
            "before": self.before.to_json(), "after": self.after.to_json(), "break_profile": self.profile.to_dict(),
        }  # fmt: skip


def learn_breaks(
    recordings: str | Path | Sequence[str | Path],
    breaks: str | Path,
    output: str | Path,
    *,
    model: str | Path | None = None,
    profile: str | Path = "base",
    store: str | Path | None = None,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> LearnedProfile:
    """Learn what breaks of a channel are like from recordings whose breaks somebody has checked.

    Recordings that ``cliplab ads`` has watched are not decoded again, so that this takes seconds.

    Args:
        recordings: Files, folders and patterns.
        breaks: The true breaks: a file of marks for one recording, a suffix as ".edl" for the file beside each, a
            folder of marks, or the folder of a studio in which the breaks are intervals.
        output: The JSON file to write; ``cliplab ads --profile`` reads it.
        model: The model that scores the pictures; None: evidence only.
        profile: The profile to begin from, as for ``find_ads``.
        store: Folder where observations are kept; None: the cache.
        force: Replace output if it exists.
        trust_adapters: As for ``open_model``.
        on_progress: As for ``observe``.

    Raises:
        ConfigError: No recording is named, or an option is wrong.
        DatasetError: The true breaks of a recording are unknown.
        MediaError: A recording cannot be read.
        StorageError: The output exists, or cannot be written.
    """
    require_new(output, force)
    paths = find_videos([recordings] if isinstance(recordings, str | Path) else recordings)
    if not paths:
        raise ConfigError("no recording is given. Give a file or a folder of videos")
    for path in paths:
        if not Path(path).is_file():  # what a file holds is seen when it is read
            check_source(path)
    truth = breaks_beside(paths, breaks)
    adapter = None if model is None else open_model(model, trust_adapters=trust_adapters)
    digest = "" if model is None else model_digest(model)
    prior = read_profile(profile)
    job = Job(adapter, digest, None, prior, None, None, None if store is None else Path(store), False, on_progress)
    corrected = []
    for path in paths:
        found = find_in_recording(path, job)
        assert found.observations is not None
        require_within(path, truth[path], found.duration_seconds, breaks)
        corrected.append(Corrected(found.observations, truth[path]))
    report = choose_profile(corrected, prior, digest or None)
    origin = f"learned from {len(paths)} recordings with {sum(map(len, truth.values()))} breaks"
    write_json_atomic(output, {"origin": origin, "break_profile": report.profile.to_dict()})
    return replace(report, output=str(output))


def choose_profile(corrected: Sequence[Corrected], prior: BreakProfile, model: str | None = None) -> LearnedProfile:
    """The learned profile, with a head for the model where that serves: only what makes breaks better is taken.

    Args:
        corrected: The recordings to learn from.
        prior: The profile to begin from.
        model: The digest of the model that scored the pictures; None: no head is learned.

    Returns:
        Lengths and weights as learned, unless breaks are worse by them in recordings that they were not learned from;
        a head only where breaks are better by it. Of one recording alone the breaks say nothing of either, and a head
        is taken where it tells seconds better that it has not seen.
    """
    prior = replace(prior, score_head=None) if model is not None else prior
    found = measure_learning(corrected, prior)
    notes = list[str]()
    if found.held_out and _order(found.after) < _order(found.before):
        notes.append("the learned lengths and weights made breaks worse, so that those of the given profile stay")
        found = replace(found, profile=prior, after=found.before)
    if model is None:
        return replace(found, notes=tuple(notes))
    headed = measure_learning(corrected, found.profile if notes else prior, model, lengths=not notes)
    if headed.profile.score_head is None:
        notes.append("no head was learned: it would be right no more often than the model, or too little is known")
    elif found.held_out and _order(headed.after) <= _order(found.after):
        notes.append("a head was learned and left out: breaks are no better with it")
    else:
        found = replace(headed, before=found.before)
    return replace(found, notes=tuple(notes))


def _order(report: BreakReport) -> tuple[float, float]:
    """What makes one report better than another: F1, then the seconds that are wrong."""
    wrong = (report.programme_lost_per_hour or 0.0) + (report.ads_seen_per_hour or 0.0)
    return (round(report.f1 or 0.0, 6), -round(wrong, 1))


def measure_learning(
    corrected: Sequence[Corrected], prior: BreakProfile, model: str | None = None, lengths: bool = True
) -> LearnedProfile:
    """A learned profile, and how much better it is than the one to begin from.

    Args:
        corrected: The recordings to learn from.
        prior: The profile to begin from.
        model: As for ``learn_profile``.
        lengths: Whether lengths and weights are learned too, not the head alone.
    """
    several = len(corrected) > 1

    def learn(recordings: Sequence[Corrected]) -> BreakProfile:
        found = learn_profile(recordings, prior, model)
        return found if lengths else replace(prior, score_head=found.score_head)

    learned = learn(corrected)

    def row(each: Corrected, profile: BreakProfile) -> RecordingBreaks:
        found = decide_breaks(each.observations, profile)
        extents = tuple((one.start_seconds, one.end_seconds) for one in found)
        seen = each.observations
        return RecordingBreaks(extents, each.breaks, seen.duration_seconds, tuple(seen.damaged))

    before = measure_breaks([row(each, prior) for each in corrected])
    after = measure_breaks([
        row(each, learn([*corrected[:place], *corrected[place + 1 :]]) if several else learned)
        for place, each in enumerate(corrected)
    ])  # fmt: skip
    count = sum(len(each.breaks) for each in corrected)
    return LearnedProfile(learned, "", len(corrected), count, before, after, several)
