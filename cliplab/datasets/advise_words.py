"""The findings of `cliplab dataset advise` in sentences, each with its numbers and the next step."""

from __future__ import annotations

from collections.abc import Sequence

from cliplab.datasets.advise_curve import Gain
from cliplab.datasets.advise_figures import Alike, Figure
from cliplab.datasets.advise_report import AdviseReport, Finding
from cliplab.datasets.advise_shortcuts import ALL, SOURCE_NAME, Shortcut

_SHOWN = 3
_CLEAR = 0.05  # differences below it are not worth a warning
_MOST_ISSUES = 0.35  # of the clips: with more, it is the figure and not the labels


def findings_of(report: AdviseReport, split_problems: Sequence[str]) -> tuple[Finding, ...]:
    """Everything that a person should know, the serious things first.

    Args:
        report: What was found.
        split_problems: Sentences about groups and files that are in two splits or under two labels.
    """
    found = [
        Finding("splits", True, text, "Correct these rows before you train or measure.") for text in split_problems
    ]
    found += _copies(report)
    if report.figure is not None:
        found += [_figure(report, report.figure)]
        if learned(report):
            found += _alike(report, report.figure) + _shortcuts(report, report.figure)
            found += _labels(report) + _confusion(report) + _more_clips(report)
        else:
            found += _shortcuts(report, report.figure)
    return tuple(sorted(found, key=lambda finding: not finding.serious))


def learned(report: AdviseReport) -> bool:
    """Whether the features are shown to say anything of the labels.

    Args:
        report: The report.
    """
    return report.figure is not None and report.figure.interval[0] > report.clips.largest_share


def with_interval(figure: Figure) -> str:
    """0.89 (95% interval 0.82 to 0.95)."""
    low, high = figure.interval
    return f"{figure.accuracy:.2f} (95% interval {low:.2f} to {high:.2f})"


def _figure(report: AdviseReport, figure: Figure) -> Finding:
    base = report.clips.largest_share
    where = f"{figure.groups} groups" if figure.groups > 1 else "1 group, so unseen groups could not be measured"
    unseen = "groups" if figure.groups > 1 else "clips"
    text = (
        f"Accuracy on unseen {unseen}: {with_interval(figure)}, {figure.clips} clips in {where}; always "
        f"answering the largest class gives {base:.2f}."
    )
    if learned(report):
        return Finding("figure", False, text, "Read it together with the findings on look-alikes and shortcuts.")
    return Finding(
        "figure",
        True,
        f"The model did not measurably learn anything: {text}",
        "Check that the labels are visible in the clips; try a model that sees motion, or label more clips.",
    )


# What misleads -----------------------------------------------------------------------------------------------------


def _alike(report: AdviseReport, figure: Figure) -> list[Finding]:
    alike = report.alike
    if alike is None:
        return []
    proposed = alike.proposed
    if proposed is None or proposed.figure is None or alike.difference is None or alike.control is None:
        return _not_judged(alike)
    apart, low, high = proposed.figure.accuracy, *alike.difference[1:]
    numbers = (
        f"{figure.accuracy:.2f} with groups as they are ({figure.groups}); {with_interval(proposed.figure)} when clips "
        f"that look alike are kept together ({proposed.groups} groups, the largest of {proposed.largest} clips); "
        f"{alike.control:.2f} with random groups of the same sizes and classes"
    )
    # Fewer and larger groups alone cost accuracy: what is lost beyond that is due to the looks.
    lost = alike.control - apart
    if apart >= figure.interval[0] or lost <= _CLEAR:
        text = f"{numbers}: no sign that the figure comes from the source videos."
        return [Finding("groups", False, text, "Nothing to do, if the groups are the recordings.")]
    part = "most" if lost > (alike.control - report.clips.largest_share) / 2 else "part"
    unsure = "" if low > 0 else f" There are few groups, so the difference is uncertain: {low:+.2f} to {high:+.2f}."
    where = "the source video" if figure.groups == figure.clips else "the source video or the place"
    text = f"{numbers}: {part} of the figure may be {where}, not the class.{unsure}"
    step = (
        f"Expect about {apart:.2f} on new sources. Write the true recording of each clip as its group "
        "(proposed_groups.csv is a start), and label clips from more sources, the same sources for all classes."
    )
    return [Finding("groups", True, text, step)]


def _not_judged(alike: Alike) -> list[Finding]:
    alone = next((level for level in alike.levels if level.reason.startswith("all clips")), None)
    if alone is None:
        return []
    text = (
        f"At a likeness of {alone.likeness:.2f}, {alone.reason}: these clips cannot show whether the model recognises "
        "the class or its source."
    )
    return [Finding("groups", True, text, "Label clips of this class from other places, cameras and days.")]


def _shortcuts(report: AdviseReport, figure: Figure) -> list[Finding]:
    base, found = report.clips.largest_share, []
    gain = max(figure.accuracy - base, 0.0)

    def telling(item: Shortcut) -> bool:
        return item.figure.interval[0] > base + _CLEAR and item.figure.accuracy > base + gain / 2

    single = [item for item in report.shortcuts if item.name != ALL and telling(item)]
    whole = [item for item in report.shortcuts if item.name == ALL and telling(item)]
    if single or whole:
        best = [*single[:_SHOWN], *whole]
        listed = "; ".join(f"{with_interval(item.figure)} from {_PHRASES.get(item.name, item.name)}" for item in best)
        text = (
            f"Shortcut: a tiny model that ignores the action reaches {listed}. The real model reaches "
            f"{figure.accuracy:.2f}; the largest class is {base:.2f}."
        )
        found.append(Finding("shortcuts", True, text, _same_for_all([item.name for item in best])))
    for item in report.shortcuts:
        given = item.classes[:_SHOWN]
        if item.name == ALL or not given or item in single:
            continue
        names = "; ".join(
            f"{one.label!r} (area under the ROC curve {one.auc:.2f}, 95% interval {one.interval[0]:.2f} to "
            f"{one.interval[1]:.2f}; chance is 0.5)"
            for one in given
        )
        more = f" and {len(item.classes) - _SHOWN} more classes" if len(item.classes) > _SHOWN else ""
        text = f"Shortcut: {item.name} alone gives away {names}{more}."
        found.append(Finding("shortcuts", True, text, _same_for_all([item.name])))
    return found


_PHRASES = {SOURCE_NAME: "the names of sources", ALL: "shape, length, light and names together"}
_REMEDIES = {
    "frame shape": 'cut and scale the clips of all classes alike, or set "aspect" to "crop" or "stretch" and compare',
    "length": "cut the clips of all classes to the same lengths",
    "frame rate": "take the clips of all classes from cameras of the same frame rates, or convert them",
    "brightness": "film each class in bright and dark places, or augment brightness",
    "sharpness": "take the clips of all classes from the same cameras and encoders",
    "colour": "film each class in the same places, or augment colours",
    SOURCE_NAME: "take the clips of all classes from the same sources, and write the source as the group",
    ALL: "use clips of the same shape, length, light and source for all classes",
}


def _same_for_all(names: Sequence[str]) -> str:
    single = [name for name in names if name != ALL] or [ALL]
    text = "; ".join(_REMEDIES[name] for name in single)
    return f"If this is not what the classes mean: {text}."


def _copies(report: AdviseReport) -> list[Finding]:
    found = []
    examples = report.examples
    splits = [pair for pair in report.copies if len({examples[row].split for row in pair} - {None}) > 1]
    labels = [pair for pair in report.copies if set(examples[pair[0]].labels) != set(examples[pair[1]].labels)]
    apart = [pair for pair in report.copies if examples[pair[0]].group != examples[pair[1]].group]
    if splits:
        text = f"{_pairs(len(splits))} that show the same are in two splits: {_listed(report, splits)}."
        found.append(Finding("copies", True, text, "Keep both in one split: give them the same group."))
    if labels:
        text = f"{_pairs(len(labels))} that show the same have different labels: {_listed(report, labels)}."
        found.append(Finding("copies", True, text, "Look at them and keep the right label."))
    if apart and not splits:
        text = f"{_pairs(len(apart))} show the same and are in different groups: {_listed(report, apart)}."
        found.append(Finding("copies", True, text, "Remove one of each, or give them the same group."))
    return found


def _pairs(count: int) -> str:
    return f"{count} pair{'s' if count > 1 else ''} of clips"


def _listed(report: AdviseReport, pairs: Sequence[tuple[int, int]]) -> str:
    shown = "; ".join(f"{report.clips.names[one]} and {report.clips.names[other]}" for one, other in pairs[:_SHOWN])
    return shown + (f"; and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else "")


# Labels and clips --------------------------------------------------------------------------------------------------


def _labels(report: AdviseReport) -> list[Finding]:
    issues = report.issues
    if not issues or len(issues) > _MOST_ISSUES * len(report.examples):
        return []
    shown = "; ".join(
        f"{report.clips.names[item.clip]} is labelled {item.given!r}, likely {item.likely!r} ({item.likely_score:.2f})"
        for item in issues[:_SHOWN]
    )
    more = f"; and {len(issues) - _SHOWN} more" if len(issues) > _SHOWN else ""
    text = (
        f"{len(issues)} of {len(report.examples)} labels are likely wrong, or their clips are difficult: {shown}{more}."
    )
    return [Finding("labels", False, text, "Check these clips first (label_issues.csv), and correct wrong labels.")]


def _confusion(report: AdviseReport) -> list[Finding]:
    if not report.confusions:
        return []
    shown = "; ".join(
        f"{item.clips} of {item.of} clips of {item.label!r} are predicted as {item.taken_for!r}"
        for item in report.confusions[:_SHOWN]
    )
    worst = report.confusions[0]
    step = (
        f"Label clips that show the difference between {worst.label!r} and {worst.taken_for!r}, or merge the classes."
    )
    return [Finding("confusion", False, f"Classes that are confused: {shown}.", step)]


def _more_clips(report: AdviseReport) -> list[Finding]:
    found = []
    gains = [gain for gain in report.curve.classes if gain.gain >= 0.005][:_SHOWN]
    if gains:
        text = f"More clips (if the other classes grow in proportion): {'; '.join(map(gain_words, gains))}."
        found.append(Finding("clips", False, text, f"Label {gains[0].label!r} first, from new sources."))
    elif report.curve.points and report.curve.points[-1].accuracy < 1:
        text = "More clips of these sources probably do not help: the curve is flat."
        found.append(Finding("clips", False, text, "Label other sources, or use another model."))
    return found


def gain_words(gain: Gain) -> str:
    """What more clips bring, in words: "60 more clips of 'normal': about +4 points (95% interval +0 to +9)".

    Of all classes together: "200 clips: about 0.86 (0.83 to 0.90)".

    Args:
        gain: The gain.
    """
    low, high = (round(100 * end) for end in gain.interval)
    if gain.label is None:
        ends = [min(gain.value + end, 1.0) for end in (gain.gain, *gain.interval)]
        return f"{gain.now + gain.clips} clips: about {ends[0]:.2f} ({ends[1]:.2f} to {ends[2]:.2f})"
    what = f"{gain.clips} more clips of {gain.label!r}"
    unsure = ", very uncertain" if high - low > max(10, 2 * 100 * gain.gain) else ""
    return f"{what}: about {100 * gain.gain:+.0f} points (95% interval {low:+d} to {high:+d}{unsure})"
