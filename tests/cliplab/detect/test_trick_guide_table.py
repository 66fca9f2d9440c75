"""Every number, file and switch of the guide to train a trick model for stage 2, against the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tflite_adapter import make_tflite

from adapters.config import key_schemas
from adapters.inference import read_config, ready_configs
from cliplab.detect.highlights.stage2 import SWITCH
from cliplab.registry import MANIFEST_NAME, next_version, read_manifest

ROOT = Path(__file__).resolve().parents[3]
CONFIG = read_config(ready_configs()["trick_movinet_a0"])
PAGE = (ROOT / "docs" / "guides" / "stage2.md").read_text(encoding="utf-8")
# A sentence of the guide, and what holds here.
FACTS = [
    ('classify video clips as "trick" vs "non-trick"', lambda: set(_classes()) == {"trick", "non-trick"}),
    ("MoViNet-A0 (pretrained on Kinetics-600)", lambda: (CONFIG["model_id"], CONFIG["weights"]) == _BASE),
    ("16 frames @ 172×172 RGB", lambda: (CONFIG["n_frames"], CONFIG["imgz"]) == (16, 172)),
    ("Single probability score [0, 1]", lambda: CONFIG["positive_label"] == "trick"),
    ("Convert to TFLite with DEFAULT optimizations", lambda: CONFIG["quantize"] == "dynamic"),
    ("Precision:** 70-85%", lambda: CONFIG["gates"]["min_precision"] == 0.70),
    ("Recall:** 75-90%", lambda: CONFIG["gates"]["min_recall"] == 0.75),
    ("<100ms per clip on CPU", lambda: CONFIG["gates"]["max_latency_ms"] == 100),
    ("~5-10 MB (TFLite)", lambda: CONFIG["gates"]["max_size_bytes"] == 10_000_000),
    ("DETECTION_USE_ML_STAGE2=true", lambda: SWITCH == "DETECTION_USE_ML_STAGE2" and f"{SWITCH}=true" in PAGE),
    ("--epochs 20", lambda: "--epochs 20" in PAGE),
    ("--lr 0.001", lambda: "--learning-rate 0.001" in PAGE),
    ("model_manifest.json", lambda: MANIFEST_NAME == "model_manifest.json"),
    ("Increment version (v002, v003, etc.)", lambda: next_version(_NAME, [f"{_NAME}_v002.tflite"]) == _THIRD),
    ("Keep best performing model in manifest", lambda: "--keep-best precision" in PAGE),
    ("Freeze Backbone", lambda: "The backbone is frozen" in PAGE),
    ("Unfreeze last few layers", lambda: "fine_tune_layers" in PAGE),
    ("Early Stopping", lambda: "stops early" in PAGE and _default("early_stopping_patience") == 5),
    ("Monitor validation loss", lambda: _default("keep_best") == "val_loss" and "keep_best" not in CONFIG),
    ("Save training metrics", lambda: "report/evaluation.json" in PAGE),
]
_BASE = ("a0", "kinetics-600")
_NAME = "highlight_movinet_a0"
_THIRD = f"{_NAME}_v003.tflite"


def _default(key: str) -> object:
    return key_schemas(CONFIG["adapter"])[key]["default"]


@pytest.fixture(scope="module")
def guide(shared: Path) -> str:
    (path,) = (shared / "seeds").glob("000_*.txt")
    return path.read_text(encoding="utf-8")


def _classes() -> list[str]:
    aliases = {ours: theirs for theirs, ours in CONFIG["label_aliases"].items()}
    return [aliases.get(label, label) for label in CONFIG["labels"]]


@pytest.mark.parametrize(("sentence", "holds"), FACTS, ids=[sentence for sentence, _ in FACTS])
def test_numbers_files_and_switches(guide: str, sentence: str, holds) -> None:
    assert sentence in guide
    assert holds()


def test_the_head_is_that_of_the_guide(guide: str) -> None:
    (line,) = re.findall(r"\*\*Head:\*\* (.+)", guide)
    layers = []
    for layer in CONFIG["head"]:
        layers.append(f"Dense({layer['units']})" if "units" in layer else f"Dropout({layer['dropout']})")
    assert line == " → ".join([*layers, "Dense(1, sigmoid)"])


def test_the_manifest_of_the_guide_is_read_as_it_is(guide: str, tmp_path: Path) -> None:
    (text,) = re.findall(r"<< 'EOF'\n(.*?)EOF", guide, re.DOTALL)
    document = json.loads(text)
    make_tflite(tmp_path / document["current"], "trick")
    (tmp_path / MANIFEST_NAME).write_text(text)
    found = read_manifest(tmp_path)
    assert found.current == document["current"]
    assert [found.metrics(name) for name in found.names] == [one["metrics"] for one in document["models"]]


def test_its_steps_are_the_steps_of_our_guide(guide: str) -> None:
    theirs = re.findall(r"^### \d\. (.+)$", guide, re.MULTILINE)
    assert theirs == [
        "Export Dataset from Production DB",
        "Train Model Locally",
        "Deploy Model to VM",
        "Enable Stage 2 Detection",
    ]
    ours = re.findall(r"^## \d\. (.+)$", PAGE, re.MULTILINE)
    assert [one.split()[0] for one in ours] == ["Export", "Train", "Convert", "Enter", "Enable", "Iterate:"]
    for word in ("dataset from-db", "train trick_movinet_a0", "convert", "registry manifest", "deploy", ".env"):
        assert word in PAGE
