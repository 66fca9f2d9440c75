"""A library of videos to their scores, and the best of them: ``cliplab scan``.

A scan walks the library, scores what its store does not know, and writes highlights.json from the store. Each video is
stored as soon as it is scored, so that a scan that was killed resumes there when it is run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.base import BaseModelAdapter
from adapters.choices import WantedPrecision
from adapters.errors import BundleError, ConfigError
from adapters.inference import MinScore, min_score_of, open_model, parse_min_score
from adapters.records import Aggregation
from cliplab.library import HIGHLIGHTS_FORMAT, HIGHLIGHTS_VERSION, is_remote, storage
from cliplab.models import PrecisionChoice, name_list, own_precision
from cliplab.outputs import require_new
from cliplab.scan.models import choose_model, require_cpu, wanted_precision
from cliplab.scan.one_pass import Engine, OnNote, OnProgress, OnReport, ScanPlan, ScanReport, scan_once
from cliplab.scan.one_pass import watch as watching
from cliplab.scan.report import HighlightCriteria, require_replaceable
from cliplab.scan.sampling import Sampling, choose_sampling
from cliplab.scan.scoring import score_files
from cliplab.scan.store import open_store


@dataclass(frozen=True)
class EngineOptions:
    """What an engine that works on other computers needs to know.

    Attributes:
        bundle: The model.
        digest: The model's digest.
        library: The library's absolute path or address.
        device: "cpu" or "gpu"; None is the model's.
        overrides: What else ``open_model`` needs to predict in the scan's precision.
        ray_address: HOST:PORT of the Ray cluster; None is that in RAY_ADDRESS.
        trust_adapters: As for ``scan``.
        on_note: Called with a sentence for each unusual event.
    """

    bundle: str | Path
    digest: str
    library: str
    device: str | None
    overrides: dict[str, Any]
    ray_address: str | None
    trust_adapters: tuple[str, ...]
    on_note: OnNote


def _on_ray(options: EngineOptions) -> Engine:
    from cliplab.scan.on_ray import score_on_ray

    return score_on_ray(**vars(options))


# How jobs are scored: each engine takes an iterable of jobs and gives what came of each, as it is done.
ENGINES: dict[str, Callable[[EngineOptions], Engine]] = {"local": lambda options: score_files, "ray": _on_ray}
STORE_NAME = "scan.db"  # beside highlights.json


def scan(
    library: str | Path,
    bundle: str | Path | None = None,
    *,
    prompt: str | None = None,
    prompt_model: str | Path | None = None,
    neutral_prompt: str | None = None,
    output: str | Path = "highlights.json",
    min_score: MinScore = 0.7,
    label: str | None = None,
    sample_fps: float | None = None,
    keyframes: bool = False,
    frames: int | None = None,
    aggregation: Aggregation | None = None,
    window_seconds: float = 5.0,
    store: str | Path | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    precision: WantedPrecision | None = None,
    retry_failed: bool = False,
    watch: bool = False,
    settle_seconds: float = 10.0,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
    on_report: OnReport | None = None,
) -> ScanReport:
    """Score every video below a folder and write those at or above min_score, best first, to highlights.json.

    Each video's scores are stored as soon as they are known. If interrupted, call it again to resume.

    Args:
        library: A folder, or an address that fsspec opens, such as s3://bucket/folder.
        bundle: A bundle directory or a self-describing .tflite; None with prompt.
        prompt: Instead of a bundle: a description of what to find, such as "sunset; dive; fast turn".
        prompt_model: With prompt: a folder with an image and a text network; see docs/prompts.md.
        neutral_prompt: With prompt: what else pictures may show, in the same form; None for
            ``adapters.inference.NEUTRAL_PROMPTS``.
        output: The highlights.json to write; an older one of a scan is replaced.
        min_score: Least score, 0..1, of a highlight; or "best" for the threshold that training chose for the label.
        label: The label whose score counts; None is the model's positive label, or the best of all prompts.
        sample_fps: For a model of frames: frames per second to score; None is 1. With keyframes, at most this many key
            frames per second.
        keyframes: For a model of frames: score key frames only (fastest).
        frames: For a model of frames: score this many frames, evenly over each video.
        aggregation: "mean", "max" or "top_mean" of a video's scores; None is the model's.
        window_seconds: Length of the best windows that are listed of each video.
        store: The file that keeps all scores; None is scan.db beside output.
        engine: "local" for this computer, or "ray" for a cluster.
        ray_address: HOST:PORT of the Ray cluster, or "auto"; None is that in RAY_ADDRESS, and this computer without it.
        workers: Videos decoded at the same time; None is one per core.
        device: "cpu" or "gpu"; None is the model's.
        precision: Of the program that scores: "auto" takes int8 where the bundle has measured that it costs at most
            ``max_accuracy_drop``, otherwise float32; "float32", "float16", "dynamic" or "int8" is that one; None is the
            model's. Scores of each precision are kept apart.
        retry_failed: Score again the videos that could not be decoded.
        watch: Continue to look for new videos until interrupted.
        settle_seconds: With watch: how long a file must stay unchanged before it is scored, and the time between
            passes.
        trust_adapters: Adapters of other packages that the model may name, "module:Class" each; their code is run.
        on_progress: Called with a ``ScanProgress`` for each video; the object is updated in place.
        on_note: Called with a sentence for each unusual event, such as a video that could not be read.
        on_report: With watch: called with the ``ScanReport`` of each pass that found something new.

    Returns:
        Counts, speed, and the first failures.

    Raises:
        ConfigError: An option is wrong, or the library does not exist.
        BundleError: The model is missing, damaged, or was replaced while it was read.
        MediaError: The library contains no video.
        StorageError: The output or the store cannot be written, or another scan uses the store.
        ClusterError: The Ray cluster cannot be reached or used.
        MissingExtraError: A package for the engine or the storage is not installed.
    """
    output, library = Path(output), os.fspath(library)
    library = library if is_remote(library) else os.path.abspath(storage.local(library))
    _check(library, min_score, window_seconds, engine, workers, settle_seconds)
    if ray_address is not None and engine != "ray":
        raise ConfigError(
            f"ray_address is {ray_address!r}, but engine is {engine!r}. Set engine to ray, or remove ray_address"
        )
    require_new(output, True)
    require_replaceable(output)
    model = choose_model(bundle, prompt, prompt_model, neutral_prompt)
    if model.is_prompt and engine != "local":
        raise ConfigError(f"engine is {engine!r}, but prompts are scored on this machine only. Remove engine")
    digest = model.digest()
    note = on_note or (lambda text: None)
    chosen = wanted_precision(model, precision, trust_adapters, note)
    more = {} if chosen is None else chosen.overrides
    scores = ENGINES[engine](
        EngineOptions(model.name, digest, library, device, more, ray_address, tuple(trust_adapters), note)
    )
    # A cluster's driver does not predict, so it needs no GPU.
    changes = {} if device is None else {"device": device if engine == "local" else "cpu"}
    adapter = open_model(model.source, {**changes, **more}, trust_adapters)
    require_cpu(precision, device or adapter.config["device"])
    if more:
        adapter.program()  # one that has to be made is made before the library is listed
    chosen = chosen or own_precision(adapter.config)
    if model.digest() != digest:
        raise BundleError(f"{model.name}: was replaced while it was read. Start the scan again.")
    sampling = choose_sampling(adapter, sample_fps, keyframes, frames)
    criteria = make_criteria(adapter, model.name, label, aggregation, min_score, window_seconds)
    place = Path(store) if store is not None else output.absolute().parent / STORE_NAME
    with open_store(place, note) as kept:
        run, is_other = kept.run(_run_key(digest, sampling, chosen))
        if is_other:
            note(
                f"{place}: has scores of another model, precision or sampling; they are kept, and every video is "
                "scored again"
            )
        plan = ScanPlan(
            library=library,
            adapter=adapter,
            engine=scores,
            workers=workers,
            sampling=sampling,
            criteria=criteria,
            run=run,
            retry_failed=retry_failed,
            output=output,
            precision=chosen,
            head=_head(library, adapter, digest, sampling, criteria, chosen),
            on_progress=on_progress or (lambda progress: None),
            on_note=note,
        )
        if watch:
            watching(plan, kept, settle_seconds, on_report or (lambda report: None))
        report, _ = scan_once(plan, kept, lambda found: True, None)
        assert report is not None
        return report


def _check(
    library: str, min_score: MinScore, window_seconds: float, engine: str, workers: int | None, settle: float
) -> None:
    storage.require_folder(library)
    parse_min_score(min_score)
    if not 0 < window_seconds < float("inf"):
        raise ConfigError(f"window_seconds is {window_seconds!r} and must be seconds above 0")
    if not 0 < settle < float("inf"):
        raise ConfigError(f"settle_seconds is {settle!r} and must be seconds above 0")
    if engine not in ENGINES:
        raise ConfigError(f"engine is {engine!r} and must be one of: {', '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers!r} and must be a whole number of at least 1")


def make_criteria(
    adapter: BaseModelAdapter,
    bundle: str | Path,
    label: str | None,
    aggregation: Aggregation | None,
    min_score: MinScore,
    window_seconds: float,
) -> HighlightCriteria:
    """The criteria that the options ask for.

    Args:
        adapter: The model.
        bundle: The model's path, for messages.
        label: The label whose score counts; None is the model's positive label.
        aggregation: None is the model's.
        min_score: Least score, 0..1, of a highlight, or "best".
        window_seconds: Length of the best windows.

    Raises:
        ConfigError: The label is unknown to the model, or none is given and the model has no positive label; or
            min_score is "best" and the model has no chosen threshold for it.
    """
    labels, chosen = adapter.labels, label if label is not None else adapter.config.get("positive_label")
    prompts = adapter.config.get("prompts")
    if chosen is None and prompts:
        return _prompt_criteria(adapter, prompts, aggregation, min_score, window_seconds)
    if chosen is None:
        raise ConfigError(
            f"{bundle}: has several labels and no positive_label. Say whose score counts with --label (in Python: "
            f"label), one of: {name_list(labels)}"
        )
    if chosen not in labels:
        raise ConfigError(f"label is {chosen!r}, which is not a label of this model; its labels: {name_list(labels)}")
    how = aggregation or adapter.config.get("aggregation", "mean")
    if how not in ("mean", "max", "top_mean"):
        raise ConfigError(f"aggregation is {how!r} and must be mean, max or top_mean")
    fraction = float(adapter.config.get("top_fraction", 0.25))
    least = min_score_of(adapter, min_score, chosen)
    return HighlightCriteria(chosen, labels.index(chosen), how, fraction, least, window_seconds)


def _run_key(digest: str, sampling: Sampling, chosen: PrecisionChoice) -> dict[str, Any]:
    """What scores follow from beside the video; for the model's own precision the key is that of older stores."""
    return {
        "model": digest,
        "sampling": sampling.to_json(),
        **({} if chosen.own else {"precision": chosen.precision}),
    }


def _prompt_criteria(
    adapter: BaseModelAdapter,
    prompts: Sequence[str],
    aggregation: Aggregation | None,
    min_score: MinScore,
    window_seconds: float,
) -> HighlightCriteria:
    """A video's score is that of its best prompt at each moment; several prompts are also listed one by one."""
    config, label = adapter.config, "; ".join(prompts)
    parts = tuple((name, adapter.labels.index(name)) for name in prompts)
    return HighlightCriteria(
        label,
        parts[0][1],
        aggregation or config["aggregation"],
        float(config["top_fraction"]),
        min_score_of(adapter, min_score, label),
        window_seconds,
        parts if len(parts) > 1 else (),
    )


def _head(
    library: str,
    adapter: BaseModelAdapter,
    digest: str,
    sampling: Sampling,
    criteria: HighlightCriteria,
    chosen: PrecisionChoice,
) -> dict[str, Any]:
    best = adapter.config["best_thresholds"].get(criteria.label)
    return {
        "format": HIGHLIGHTS_FORMAT,
        "version": HIGHLIGHTS_VERSION,
        "library": library,
        "model": {"name": adapter.config.get("name", ""), "adapter": adapter.config["adapter"], "digest": digest},
        "precision": chosen.precision,
        "sampling": sampling.to_json(),
        "label": criteria.label,
        "aggregation": criteria.aggregation,
        "min_score": criteria.min_score,
        **({} if best is None else {"best_min_score": best}),
        "window_seconds": criteria.window_seconds,
    }
