"""What 8 bits cost MoViNet on real footage, with the dequantised published weights; and the trick model's file.

Measured on 265 windows of 16 frames at 5 a second (3.2 s, a new one every 0.8 s, so neighbours overlap) of the 23 files
of footage and clips, A0 stream, against the float32 program. docs/movinet_lowering.md has the figures by variant. Most
of this footage is of no class of Kinetics-600, so that the best of 600 labels leads by little.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from adapters.errors import ConversionError
from adapters.inference import open_model
from adapters.media import open_video
from adapters.models import ModelAdapter
from adapters.records import Clip, RequestedPrecision, take_evenly

pytest.importorskip("tensorflow", reason="conversion needs the train extra: pip install 'cliplab[train]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelAdapter:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        published = shared / "weights" / "movinet_a0_stream_int8.tflite"
        adapter = open_model("movinet_a0_stream", {"weights": str(published), "num_threads": 2})
        assert isinstance(adapter, ModelAdapter)
        adapter.program()
    return adapter


@pytest.fixture(scope="module")
def windows(model: ModelAdapter, shared: Path) -> list[list[Clip]]:
    """Of each file its windows."""
    spec = replace(model.input_spec, window_seconds=3.2, stride_seconds=0.8)
    found = []
    for folder in ("footage", "clips"):
        for path in sorted((shared / "media" / folder).iterdir()):
            with open_video(path) as video:
                found.append(list(video.clips(spec)))
    return found


def test_int8_and_dynamic_keep_the_labels(
    model: ModelAdapter, windows: list[list[Clip]], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Within the rule that 2% of the top labels may change, as it stands in the config; calibrated on every second file
    and measured on all windows, also on those of the other files alone."""
    every, unseen = [[clip for clips in some for clip in clips] for some in (windows, windows[1::2])]
    assert len(every) >= 200
    calibration = [clip for clips in windows[::2] for clip in take_evenly(clips, 2)]
    assert model.config["min_agreement"] == 0.98
    for quantize, least, clips in (("dynamic", 0.99, every), ("int8", 0.98, every), ("int8", 0.98, unseen)):
        with subtests.test(quantize=quantize, clips=len(clips)):
            path = tmp_path / f"{quantize}_{len(clips)}.tflite"
            report = model.convert(path, cast(RequestedPrecision, quantize), calibration, clips=clips)
            assert (report.clips, report.clip_origin) == (len(clips), "given clips")
            assert report.agreement >= least
            assert report.max_score_difference <= 0.05
            assert report.partitions == 1


def test_int8_that_changes_labels_is_refused_with_the_figures(
    model: ModelAdapter, windows: list[list[Clip]], tmp_path: Path
) -> None:
    """Ranges told from black frames fit no footage; the message says on how many windows that was measured."""
    every = [clip for clips in windows for clip in clips[:3]]
    black = [replace(every[0], frames=np.zeros_like(every[0].frames))]
    with pytest.raises(ConversionError, match=rf"on \d+ of {len(every)} clips .*at least 0\.98 is asked for"):
        model.convert(tmp_path / "black.tflite", "int8", black, clips=every)
    assert not list(tmp_path.iterdir())


def test_the_trick_models_file_is_at_most_10_mb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size follows from the network and not from the weights. benchmarks/bench_trick.py has its time."""
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    model = open_model("trick_movinet_a0", {"weights": "random"})
    path = tmp_path / "trick.tflite"
    report = model.convert(path, model.config["quantize"])
    assert report.quantize == "dynamic"
    assert path.stat().st_size <= 10_000_000
    assert not any(name.startswith(("custom:", "Flex")) for name in report.operators)
