"""The whole loop on the sample clips: labels, training, evaluation, conversion, and the ad break in a broadcast."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.base import OnProgress
from adapters.errors import DatasetError
from adapters.records import Prediction, Segment
from adapters.reports import ConversionReport
from cliplab.demo.report import Contender, DemoReport
from cliplab.models import PredictReport, convert, evaluate, find_segments, predict, train
from cliplab.outputs import require_new

if TYPE_CHECKING:
    from adapters.evaluation import EvaluationReport

LABEL = "ad"
CONFIG = "ads_base"
TOLERANCE_SECONDS = 1.0
# Of 30 held-out clips, each is 3%: the config's 0.98 would let one undecided clip stop the demo.
MIN_AGREEMENT = 0.9
STEPS = 6
TAKES = (
    "the demo trains, measures and converts a model on the sample clips: about 70 s of processor time; its files go to "
    "{output}"
)
CHECKOUT_SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def demo(
    output: str | Path = "demo_output",
    *,
    samples: str | Path | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
    on_line: Callable[[str], object] | None = None,
) -> DemoReport:
    """Train the ad-break model on the samples, measure and convert it, and find the break in samples/broadcast.mp4.

    Args:
        output: A folder for the bundle, two .tflite files, the evaluation, timeline.png and demo.json.
        samples: The folder with dataset.jsonl and broadcast.mp4; None is the one that comes with cliplab.
        force: Replace output if it exists.
        on_progress: Called with the stage's name, the steps done and the steps in all.
        on_line: Called with a line of text for what the demo takes, and for each step.

    Returns:
        The figures of the model and of a baseline, and where the files are.

    Raises:
        DatasetError: The samples are missing.
        StorageError: The output exists, or cannot be written.
    """
    folder = _samples_folder(samples)
    output = Path(output)
    require_new(output, force)
    seconds: dict[str, float] = {}
    say = on_line or (lambda text: None)
    say(TAKES.format(output=output))
    report = on_progress or (lambda stage, done, total: None)
    data, broadcast = folder / "dataset.jsonl", folder / "broadcast.mp4"
    bundle = output / "bundle"
    with _timed(seconds, "train", say):
        train(CONFIG, data, bundle, force=True, on_progress=report)
    with _timed(seconds, "evaluate", say):
        evaluation = evaluate(bundle, data, output=output / "evaluation", force=True, on_progress=_files(report))
    programs = {}
    for quantize in ("float16", "int8"):
        with _timed(seconds, f"convert to {quantize}", say):
            converted = convert(
                bundle,
                output / f"ad_{quantize}.tflite",
                quantize=quantize,
                data=data,
                overrides={"min_agreement": MIN_AGREEMENT},
                force=True,
                on_progress=report,
            )
        assert isinstance(converted, ConversionReport)  # of a .tflite
        programs[quantize] = converted
    with _timed(seconds, "predict the broadcast", say):
        found = predict(bundle, [broadcast], segments=LABEL, on_progress=_files(report))
    truth = _truth(folder / "broadcast.json")
    predictions = _good(found)
    model = _contender(evaluation.report, predictions, (found.segments or ((),))[0], truth)
    with _timed(seconds, "baseline", say):
        baseline = _baseline(folder, bundle, predictions, truth)
    files = {"bundle": str(bundle), "evaluation": str(output / "evaluation"), "timeline": str(output / "timeline.png")}
    counts = (evaluation.report.clips, evaluation.report.groups)
    result = DemoReport(model, baseline, truth, programs, evaluation.failures, files, seconds, *counts)
    _write(result, broadcast, output)
    return result


def _write(result: DemoReport, broadcast: Path, output: Path) -> None:
    from adapters.system import write_json_atomic
    from cliplab.demo.figure import draw_timeline

    draw_timeline(result, broadcast, output / "timeline.png")
    write_json_atomic(output / "demo.json", result.to_json())


def _installed_samples() -> Path:
    """Where the installation has put the samples; the checkout's folder where it has none."""
    try:
        installed = metadata.files("cliplab") or []
    except metadata.PackageNotFoundError:
        installed = []
    found = (Path(str(file.locate())) for file in installed if file.match("share/cliplab/samples/dataset.jsonl"))
    return next((path.resolve().parent for path in found), CHECKOUT_SAMPLES)


def _samples_folder(samples: str | Path | None) -> Path:
    own = CHECKOUT_SAMPLES if CHECKOUT_SAMPLES.is_dir() else _installed_samples()
    folder = own if samples is None else Path(samples)
    if not (folder / "dataset.jsonl").is_file() or not (folder / "broadcast.mp4").is_file():
        raise DatasetError(
            f"{folder}: contains no dataset.jsonl and broadcast.mp4. Give a folder that has them with --samples: the "
            "folder samples of the source repository, or share/cliplab/samples where pip installed cliplab"
        )
    return folder


@contextmanager
def _timed(seconds: dict[str, float], name: str, say: Callable[[str], object]) -> Iterator[None]:
    say(f"step {len(seconds) + 1} of {STEPS}: {name}")
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)


def _files(report: OnProgress) -> Callable[[str, float, float | None, int, int], None]:
    def on_video(path: str, seconds: float, length: float | None, done: int, files: int) -> None:
        if files == 1:
            report(f"predicting {Path(path).name}", round(seconds), round(length or 0))
        else:
            report("evaluating", done, files)

    return on_video


def _good(report: PredictReport) -> tuple[Prediction, ...]:
    result = report.results[0]
    if result.error is not None:
        raise DatasetError(result.error)
    return result.predictions


def _truth(path: Path) -> tuple[Segment, ...]:
    rows = json.loads(path.read_text(encoding="utf-8"))["segments"]
    return tuple(Segment(r["label"], r["start_seconds"], r["end_seconds"], 1.0) for r in rows if r["label"] == LABEL)


# Scores -------------------------------------------------------------------------------------------------------------


def _contender(
    report: EvaluationReport,
    predictions: tuple[Prediction, ...],
    found: tuple[Segment, ...],
    truth: tuple[Segment, ...],
) -> Contender:
    from sklearn.metrics import average_precision_score

    from adapters.inference import match_segments

    middles = [(item.start + item.end) / 2 for item in predictions]
    inside = [any(segment.start <= middle < segment.end for segment in truth) for middle in middles]
    window_ap = average_precision_score(inside, [item.score_of(LABEL) for item in predictions])
    match = match_segments(found, truth, TOLERANCE_SECONDS)
    return Contender(
        report.f1,
        report.average_precision,
        float(window_ap),
        found,
        match.max_boundary_error,
        match.within_tolerance,
        predictions,
        report.intervals["f1"],
    )


def _baseline(folder: Path, bundle: Path, windows: tuple[Prediction, ...], truth: tuple[Segment, ...]) -> Contender:
    """Colour-and-sharpness histograms and logistic regression: the same clips, windows, threshold and smoothing."""
    import numpy as np

    from adapters.evaluation import evaluate as evaluate_scores
    from adapters.inference import open_model
    from adapters.records import VideoResult

    baseline = _baseline_module(folder)
    rows = [json.loads(line) for line in (folder / "dataset.jsonl").read_text(encoding="utf-8").splitlines()]
    fitted = baseline.fit([row for row in rows if row["split"] == "train"], folder)
    test = [row for row in rows if row["split"] == "test"]
    adapter = open_model(bundle)
    labels = adapter.labels

    def scores_of(probability: float) -> Any:
        return np.array([probability if label == LABEL else 1 - probability for label in labels], np.float32)

    clip_scores = np.stack([scores_of(float(p)) for p in baseline.score_clips(fitted, test, folder)])
    report = evaluate_scores(
        clip_scores,
        [labels.index(row["label"]) for row in test],
        labels,
        positive_label=LABEL,
        threshold=adapter.config["threshold"],
        groups=[row.get("group") or row.get("source") or row["path"] for row in test],
    )
    config, video = adapter.config, folder / "broadcast.mp4"
    scored = baseline.score_windows(fitted, video, config["window_seconds"], config["stride_seconds"])
    predictions = tuple(Prediction(scores_of(p), labels, start, end, str(video)) for start, end, p in scored)
    found = find_segments(adapter, VideoResult(str(video), predictions), LABEL)
    return _contender(report, predictions, tuple(found), truth)


def _baseline_module(folder: Path) -> Any:
    """samples/baseline.py, which is not part of an installed package."""
    spec = importlib.util.spec_from_file_location("cliplab_samples_baseline", folder / "baseline.py")
    if spec is None or spec.loader is None:
        raise DatasetError(f"{folder / 'baseline.py'}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
