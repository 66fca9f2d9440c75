"""`cliplab clips`: the database of clips and ratings from a shell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import FAILED, bar, command, show, write_json
from cliplab.cli.options import AsJson, DryRun, DryRunRemoval, OutputOption, arg, one_output, opt

if TYPE_CHECKING:
    from cliplab.clips import ClipList

_SHOWN_TRAININGS = 8
Database = Annotated[str, opt("DB", "Clip database: a file, or postgresql://USER@HOST/NAME.", "--database", "--db")]
Models = Annotated[Path, opt("MODEL", "File of the rating models.", "--model")]
Rater = Annotated[str, opt("NAME", "Name of the person who rates.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    clips = typer.Typer(
        help="Store and rate clips, and learn from the ratings.", no_args_is_help=True, rich_markup_mode=None
    )
    for name, function in (
        ("list", clips_list),
        ("rate", clips_rate),
        ("tag", clips_tag),
        ("stats", clips_stats),
        ("features", clips_features),
        ("train", clips_train),
        ("ab-start", clips_ab_start),
        ("ab-status", clips_ab_status),
        ("ab-stop", clips_ab_stop),
        ("extend", clips_extend),
        ("export", clips_export),
        ("import", clips_import),
        ("cleanup", clips_cleanup),
        ("backup", clips_backup),
        ("reset", clips_reset),
    ):
        clips.command(name)(command(function))
    app.add_typer(clips, name="clips")


def clips_list(
    database: Database = "clips.db",
    limit: Annotated[int, opt("N", "Maximum number of clips to show.")] = 50,
    rating: Annotated[str | None, opt("R", 'Only clips with this rating: "4", ">=4" or "<=2".')] = None,
    unrated: Annotated[bool, typer.Option("--unrated", help="Only clips without a rating.")] = False,
    tag: Annotated[str | None, opt("TAG", "Only clips with this tag.")] = None,
    clip_type: Annotated[str | None, opt("TYPE", "audio or video.", "--type")] = None,
    as_json: AsJson = False,
) -> None:
    """List clips, the newest first."""
    from cliplab import clips

    found = clips.clips_list(database, limit, rating, unrated, tag, clip_type)
    write_json(found.to_json()) if as_json else show(*_clip_table(found))


def clips_rate(
    clip: Annotated[int, arg("ID", "Number of the clip, as cliplab clips list shows it.")],
    rating: Annotated[str, arg("STARS", "1 (poor) to 5 (excellent), or none to remove your rating.")],
    database: Database = "clips.db",
    rater: Rater = "local",
    confidence: Annotated[float | None, opt("C", "How certain you are, above 0 and up to 1.")] = None,
    as_json: AsJson = False,
) -> None:
    """Rate a clip. Your earlier rating is replaced, and kept in the history."""
    from cliplab import clips

    found = clips.clips_rate(clip, rating, database, rater, confidence)
    said = "no rating" if rating == "none" else f"{rating} of 5, {clips.STARS[int(rating)]}"
    write_json(found.to_json()) if as_json else show(f"clip {clip}, {found.filename}: {said}, by {rater}")


def clips_tag(
    clip: Annotated[int, arg("ID", "Number of the clip, as cliplab clips list shows it.")],
    tags: Annotated[list[str], arg("TAG", "Tags.")],
    database: Database = "clips.db",
    remove: Annotated[bool, typer.Option("--remove", help="Remove these tags.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add tags to a clip, or remove them."""
    from cliplab import clips

    found = clips.clips_tag(clip, tags, database, remove)
    write_json({"id": clip, "tags": found}) if as_json else show(f"clip {clip}: {', '.join(found) or 'no tags'}")


def clips_extend(
    clip: Annotated[int, arg("ID", "Number of the clip, as cliplab clips list shows it.")],
    before_seconds: Annotated[float, opt("S", "Add S seconds before it; a negative number removes them.")] = 0.0,
    after_seconds: Annotated[float, opt("S", "Add S seconds after it; a negative number removes them.")] = 0.0,
    database: Database = "clips.db",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Cut a clip again with other edges. Its ratings and tags stay, and the old file too."""
    from cliplab import detect
    from cliplab.cli.ads import clock
    from cliplab.library import printable

    found = detect.clips_extend(clip, before_seconds, after_seconds, database, dry_run)
    if as_json:
        write_json(found.to_json())
        return
    said = "would be" if dry_run else "is now"
    show(f"clip {clip} {said} {clock(found.start)} to {clock(found.end)}: {printable(found.path)}")
    show(*(f"note: {printable(text)}" for text in found.notes))


def clips_stats(database: Database = "clips.db", as_json: AsJson = False) -> None:
    """Count clips and ratings, and show the state of training and how far raters agree."""
    from cliplab import clips
    from cliplab.cli.tables import counted, number, table

    found = clips.clips_stats(database)
    if as_json:
        write_json(found)
        return
    progress = found["training"]
    rows = [(f"{star} {word}", found["rating_distribution"][star]) for star, word in clips.STARS.items()]
    wanted = max(0, progress["min_samples"] - progress["rated_clips"])
    show(
        f"{counted(found['total_clips'], 'clip')}, {found['rated_clips']} rated, "
        f"average {number(found['average_rating'], 2)}; "
        f"{counted(found['ratings'], 'rating')} by {counted(found['raters'], 'rater')}",
        table(("stars", ">clips"), rows),
        *_agreement_lines(found["agreement"]),
        f"training: {wanted} more rated clips are needed" if wanted else "training: ready (cliplab clips train)",
        *(item["why"] for item in progress["last"].values()),
        *(_history_lines(progress["history"][-_SHOWN_TRAININGS:])),
    )


def clips_features(
    database: Database = "clips.db",
    model: Annotated[Path | None, opt("MODEL", "Add this model's embedding of every clip.", "--model")] = None,
    all_clips: Annotated[bool, typer.Option("--all", help="Compute the features of every clip again.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int | None:
    """Compute the features that clips lack, and replace those of another version of cliplab."""
    from cliplab import clips
    from cliplab.cli.tables import problems

    with bar() as progress:
        report = clips.clips_features(database, model, all_clips, dry_run, progress.stage)
    if as_json:
        write_json(report.to_json())
    else:
        said = f"would measure {report.chosen}" if dry_run else f"measured {report.measured} of {report.chosen}"
        show(*problems([f"clip {number}: {why}" for number, why in report.problems]), f"{said} clips")
    return FAILED if report.problems else None


def clips_train(
    database: Database = "clips.db",
    model: Models = Path("models/highlight_model.skops"),
    min_samples: Annotated[int, opt("N", "Minimum number of rated clips per type.")] = 10,
    as_json: AsJson = False,
) -> int | None:
    """Train on the ratings. A new model is used only if it ranks unseen clips better than the old one."""
    from cliplab import clips

    report = clips.clips_train(database, model, min_samples)
    if as_json:
        write_json(report.to_json())
    else:
        said = [result.why for result in report.results.values()]
        show(*(said or [f"{report.rated_clips} rated clips; training needs {min_samples} of one type"]))
        if report.serves:
            show(f"written: {model}")
    return None if report.results else FAILED


def clips_ab_start(
    b: Annotated[Path, arg("B.skops", "The other version of the rating models.")],
    a: Annotated[Path | None, opt("FILE", "The first version; default: the rating models in use.")] = None,
    model: Models = Path("models/highlight_model.skops"),
    share: Annotated[float, opt("X", "Share of the sources that B orders, above 0 and below 1.")] = 0.5,
    as_json: AsJson = False,
) -> None:
    """Compare two versions of a rating model: each source is ordered by one of them, always the same one."""
    from cliplab import clips

    test = clips.clips_ab_start(b, a, model, share)
    if as_json:
        write_json(vars(test))
    else:
        show(
            f"started: A orders {1 - share:.0%} of the sources, B {share:.0%}. Rate clips, then run: cliplab clips "
            "ab-status"
        )


def clips_ab_status(
    database: Database = "clips.db",
    model: Models = Path("models/highlight_model.skops"),
    as_json: AsJson = False,
) -> int | None:
    """How people like the clips of both versions: share of 4 and 5 stars and rank correlation, with intervals."""
    from cliplab import clips
    from cliplab.cli.tables import number, table

    report = clips.clips_ab_status(database, model)
    if report is None:
        write_json(None) if as_json else show("no comparison is running. Start one: cliplab clips ab-start B.skops")
        return FAILED
    if as_json:
        write_json(report.to_json())
        return None

    def spread(value: float | None, interval: tuple[float, float] | None) -> str:
        return "-" if value is None or interval is None else f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"

    rows = [
        (
            arm.upper(),
            number(found.clips, 0),
            number(found.ratings, 0),
            number(found.sources, 0),
            spread(found.liked, found.liked_interval),
            spread(found.spearman, found.spearman_interval),
        )
        for arm, found in report.arms.items()
    ]
    names = ("version", ">clips", ">ratings", ">sources", "share of 4 and 5 stars", "rank correlation")
    show(f"since {report.test.started_at[:16]}, 95% intervals:", table(names, rows), report.verdict)
    return None


def clips_ab_stop(
    model: Models = Path("models/highlight_model.skops"),
    keep: Annotated[
        str | None, opt("a|b", "Version to use from now on; default: the one that the last training wrote.")
    ] = None,
    as_json: AsJson = False,
) -> int | None:
    """End the comparison of two versions."""
    from cliplab import clips

    ended = clips.clips_ab_stop(model, keep)
    said = "ended" if ended else "no comparison is running"
    kept = f": version {keep.upper()} is in use now" if ended and keep is not None else ""
    write_json({"ended": ended, "keep": keep}) if as_json else show(f"{said}{kept}")
    return None if ended else FAILED


def clips_export(
    output: Annotated[Path | None, arg("OUTPUT", "The file to write: X.csv, X.json or X.parquet.")] = None,
    output_option: OutputOption = None,
    database: Database = "clips.db",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write all ratings to a file."""
    from cliplab import clips
    from cliplab.cli.tables import counted

    path = one_output(output, output_option)
    count = clips.clips_export(path, database, force)
    write_json({"path": str(path), "ratings": count}) if as_json else show(
        f"written: {path}, {counted(count, 'rating')}"
    )


def clips_import(
    source: Annotated[Path, arg("FILE", "X.csv, X.json or X.parquet, as cliplab clips export writes it.")],
    database: Database = "clips.db",
    rater: Rater = "local",
    as_json: AsJson = False,
) -> int | None:
    """Read ratings from a file. Ratings that are stored already are not added twice."""
    from cliplab import clips
    from cliplab.cli.tables import counted, problems

    report = clips.clips_import(source, database, rater)
    if as_json:
        write_json(report.to_json())
    else:
        show(
            *problems(report.problems),
            f"{counted(report.stored, 'rating')} stored, {report.repeated} already there, "
            f"{counted(len(report.problems), 'row')} left out",
        )
    return FAILED if report.problems else None


def clips_cleanup(database: Database = "clips.db", dry_run: DryRunRemoval = False, as_json: AsJson = False) -> None:
    """Remove the entries of clips whose files are missing. Their ratings are kept aside."""
    from cliplab import clips

    count = clips.clips_cleanup(database, dry_run)
    said = f"{count} entries whose files are missing" + (": nothing was removed" if dry_run else " were removed")
    write_json({"missing": count, "removed": 0 if dry_run else count}) if as_json else show(said)


def clips_backup(
    output: Annotated[
        Path | None, opt("FILE", "The copy to write; default: beside the database.", "-o", "--output")
    ] = None,
    database: Database = "clips.db",
    as_json: AsJson = False,
) -> None:
    """Copy the database, even while it is in use."""
    from cliplab import clips

    path = clips.clips_backup(output, database)
    write_json({"path": str(path)}) if as_json else show(f"written: {path}")


def clips_reset(
    database: Database = "clips.db",
    force: Annotated[
        bool, typer.Option("--force", help="Really empty it; without --force, only show what would be removed.")
    ] = False,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Do not make a copy first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Empty the database, after copying it."""
    from cliplab import clips
    from cliplab.cli.tables import counted

    report = clips.clips_reset(database, force, no_backup)
    counts = (
        f"{counted(report.statistics['total_clips'], 'clip')} and {counted(report.statistics['ratings'], 'rating')}"
    )
    if as_json:
        write_json(report.to_json())
    elif force:
        show(f"removed: {counts}" + ("" if report.backup is None else f"; backup: {report.backup}"))
    else:
        show(f"would remove {counts}; run it again with --force; a backup is made first")


def _agreement_lines(agreement: dict[str, Any]) -> list[Any]:
    """How far raters agree with one another and with what they said before; nothing where nothing can be compared."""
    from cliplab.cli.tables import counted, number, table

    raters, lines = agreement["raters"], list[Any]()
    if agreement["alpha"] is not None:
        low, high = agreement["interval"]
        clips = counted(agreement["clips"], "clip")
        lines.append(f"agreement of raters: alpha {agreement['alpha']:.2f} ({low:.2f} to {high:.2f}) on {clips}")
    if len(raters) > 1 or any(one["again"] for one in raters):
        rows = [
            (
                one["rater"],
                one["clips"],
                number(one["mean"], 2),
                "-" if one["above_others"] is None else f"{one['above_others']:+.2f} ({one['shared']})",
                f"{one['again_near']} of {one['again']}" if one["again"] else "-",
            )
            for one in raters
        ]
        lines.append(table(("rater", ">clips", ">mean", ">above others (clips)", ">again within 1 star"), rows))
    return lines


def _history_lines(history: list[dict[str, Any]]) -> list[str]:
    """How ranking went, a line for each training."""
    lines = []
    for one in history:
        low, high = one["interval"]
        words = f"{one['share']:.0%} of pairs in order ({low:.0%} to {high:.0%})"
        words += ", in use" if one["serves"] else ", taken back" if one.get("takes_back") else ""
        lines.append(f"  {one['at'][:16]}  {one['clip_type']}, {one['clips']} clips: {words}")
    return ["ranking over time:", *lines] if lines else []


def _clip_table(found: ClipList) -> list[Any]:
    from cliplab.cli.tables import clock, counted, number, table

    rows = [
        (
            clip.id,
            "-" if clip.rating is None else "*" * clip.rating,
            number(clip.score, 2),
            clip.clip_type,
            clock(clip.start_time),
            f"{clip.duration:.1f} s",
            clip.filename,
            ", ".join(found.tags[clip.id]),
        )
        for clip in found.clips
    ]
    names = (">id", "rating", ">score", "type", ">start", ">length", "file", "tags")
    return [table(names, rows), f"{len(found.clips)} of {counted(found.total, 'clip')}"]
