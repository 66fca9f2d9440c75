"""`label auto`, the order of review and retraining, with a model that is a few lines long."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import cli

from adapters.errors import ConfigError, DatasetError, StorageError
from cliplab.studio import LabelEvent, open_store
from cliplab.studio.items import fill_items
from cliplab.studio.prelabel import label_auto, prelabel
from cliplab.studio.retrain import MODEL, retrain
from cliplab.studio.review import ReviewFilter, review_counts, review_queue, why_empty
from cliplab.studio.review_order import QUEUE

RED, BLUE = (20, 20, 230), (230, 20, 20)  # BGR


def picture(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.clip(np.array(colour) + rng.normal(0, 25, (48, 64, 3)), 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(8):
        picture(folder / f"red{number}.png", RED, number)
        picture(folder / f"blue{number}.png", BLUE, 100 + number)
    return folder


@pytest.fixture
def folder(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))  # scores that another test left are not used
    return Path(shutil.copytree(pictures, tmp_path / "data"))


def label_of(path: str) -> str:
    return "red" if path.startswith("red") else "blue"


def label_some(store, count, annotator="ann", wrong=()):
    items = [item for item in store.items(limit=100) if item.missing is None]
    chosen = [item for kind in ("red", "blue") for item in [one for one in items if one.path.startswith(kind)][:count]]
    events = []
    for number, item in enumerate(chosen):
        label = label_of(item.path)
        if item.path in wrong:
            label = "blue" if label == "red" else "red"
        events.append(LabelEvent(f"of {annotator}", number, annotator, item.id, "label", {"label": label}, 1.0))
    assert not store.append(events).refused
    return chosen


TRUST = ("mean_colors:MeanColors",)
MODEL_OF_COLOURS = {"adapter": "mean_colors:MeanColors", "name": "colours", "labels": ["blue", "red"], "n_frames": 2}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "colours.json"
    path.write_text(json.dumps(MODEL_OF_COLOURS))
    return path


def test_sure_items_are_pre_labelled_and_the_others_queued(folder, model, tmp_path):
    picture(folder / "mixed.png", (120, 20, 128), 7)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    output = tmp_path / "pre_labels.json"
    report = label_auto(model, folder, output=output, threshold=0.8, trust_adapters=TRUST)
    found = json.loads(output.read_text())
    assert {row["path"] for row in found["review"]} == {"data/mixed.png"}
    assert len(found["pre_labels"]) == 16
    numbers = [one.item for one in report.pre_labels]
    assert numbers == sorted(numbers), "as they lie in the folder"
    assert all(label_of(Path(row["path"]).name) == row["label"] and row["score"] >= 0.8 for row in found["pre_labels"])
    assert {row["annotator"] for row in found["pre_labels"]} == {"model:colours"}
    assert [Path(path).name for path, _ in report.failed] == ["broken.png"]
    with open_store(folder) as store:
        assert [one.name for one in store.classes()] == ["blue", "red"]
        assert store.progress()["labelled"] == 0  # never counted as a person's label
        first = store.item(store.queue(QUEUE)[0])
        assert first.path == "mixed.png"
        assert store.next_item("ann", want="uncertain").id == first.id
        assert review_counts(store)["uncertain"] == 17
        assert review_queue(store, "sure", ReviewFilter("red", low=0.8))
    with pytest.raises(StorageError, match=r"pre_labels\.json"):
        label_auto(model, folder, output=output, trust_adapters=TRUST)


def test_a_killed_run_goes_on(folder, model, monkeypatch):
    from mean_colors import MeanColors

    seen = []
    whole = MeanColors.predict

    def counted(self, batch):
        seen.extend(Path(clip.source).name for clip in batch)
        if len(seen) > 5:
            raise KeyboardInterrupt
        return whole(self, batch)

    monkeypatch.setattr(MeanColors, "predict", counted)
    with pytest.raises(KeyboardInterrupt):
        label_auto(model, folder, trust_adapters=TRUST)
    before = set(seen[:-1])
    monkeypatch.setattr(MeanColors, "predict", lambda self, batch: [seen.append(None) or p for p in whole(self, batch)])
    seen.clear()
    report = label_auto(model, folder, trust_adapters=TRUST)
    assert len(report.pre_labels) + len(report.review) == 16
    assert len(seen) <= 16 - len(before) + 2


def test_labels_of_people_stay_and_are_not_queued(folder, model):
    with open_store(folder, ["red", "blue"]) as store:
        fill_items(store)
        labelled = {item.id for item in label_some(store, 3)}
        report = prelabel(store, model, 0.8, trust_adapters=TRUST)
        assert report.labelled == 6
        assert not labelled & {one.item for one in (*report.pre_labels, *report.review)}
        assert not labelled & set(store.queue(QUEUE))
        assert store.progress()["by_annotator"] == {"ann": 6}


def test_a_model_that_does_not_know_the_classes(folder, model):
    with open_store(folder, ["ad", "content"]) as store:
        fill_items(store)
        with pytest.raises(ConfigError, match=r"have none in common"):
            prelabel(store, model, trust_adapters=TRUST)
        store.rename_class("ad", "Red")  # renamed later; spelled otherwise than by the model
        report = prelabel(store, model, 0.5, trust_adapters=TRUST)
        assert {one.label for one in report.pre_labels} == {"Red"}
        assert any("content" in note for note in report.notes)
        assert any("blue" in note for note in report.notes)


def test_former_names_of_classes_are_known(folder, model):
    with open_store(folder, ["red", "blue"]) as store:
        fill_items(store)
        store.rename_class("red", "crimson")
        report = prelabel(store, model, 0.8, trust_adapters=TRUST)
        assert {one.label for one in report.pre_labels} == {"crimson", "blue"}


def test_scores_that_are_not_numbers(folder, model, monkeypatch):
    from mean_colors import MeanColors

    monkeypatch.setattr(MeanColors, "__init__", _broken(MeanColors.__init__))
    with pytest.raises(DatasetError, match="not finite"):
        label_auto(model, folder, trust_adapters=TRUST)


def _broken(make):
    def init(self, *arguments, **keywords):
        make(self, *arguments, **keywords)
        self.threshold = np.full(1, np.nan, np.float32)

    return init


def test_missing_files_are_named(folder, model):
    label_auto(model, folder, trust_adapters=TRUST)
    (folder / "red3.png").unlink()
    report = label_auto(model, folder, trust_adapters=TRUST)
    assert [path for path, _ in report.failed] == ["red3.png"]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_thresholds_that_are_no_scores(folder, model, threshold):
    with pytest.raises(ConfigError, match="threshold"):
        label_auto(model, folder, threshold=threshold, trust_adapters=TRUST)


def test_nothing_to_label(tmp_path, model):
    with pytest.raises(DatasetError, match="no such folder"):
        label_auto(model, tmp_path / "absent", trust_adapters=TRUST)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="nothing to label"):
        label_auto(model, tmp_path / "empty", trust_adapters=TRUST)


def test_order_without_embeddings(folder, model):
    """A model whose backbone is missing still gives scores; the order is by uncertainty alone and says so."""
    report = label_auto(model, folder, overrides={"weights": "missing"}, trust_adapters=TRUST)
    assert any("uncertainty alone" in note for note in report.notes)
    assert len(report.pre_labels) + len(report.review) == 16


def test_command(folder, model, tmp_path):
    output = tmp_path / "pre_labels.json"
    words = ("--model", model, "--data-dir", folder, "--output", output, "--trust-adapter", TRUST[0])
    ran = cli("label", "auto_label", *words, "--threshold", "0.8", "--json", code=0)
    assert json.loads(ran.stdout)["pre_labels"] == json.loads(output.read_text())["pre_labels"] or output.exists()
    assert "pre-labels" in cli("label", "auto", *words, "--force", code=0).stdout


# Retraining -----------------------------------------------------------------------------------------------------------


def test_retraining_reorders_and_finds_a_wrong_label(folder, model):
    with open_store(folder, ["red", "blue"]) as store:
        fill_items(store)
        label_some(store, 6, wrong=("red0.png",))
        report = retrain(store, model, trust_adapters=TRUST)
        low, high = report.interval
        assert report.clips == 12
        assert low <= report.accuracy <= high
        assert "12 labelled items" in report.sentence()
        wrong = [store.item(number).path for number in report.likely_wrong]
        assert wrong == ["red0.png"]
        assert [store.item(number).path for number in review_queue(store, "mislabels")] == wrong
        assert [store.item(number).path for number in review_queue(store, "model")] == wrong
        queue = review_queue(store, "uncertain")
        assert len(queue) == 4
        for number in queue:
            item = store.item(number)
            assert item.predicted[0] == label_of(item.path)
        assert store.scores(queue[0], MODEL)


@pytest.mark.parametrize(
    ("red", "blue", "word"), [(0, 0, "none"), (5, 0, "red 5"), (3, 1, "blue 1"), (1, 1, "blue 1, red 1")]
)
def test_too_few_labels_are_refused_with_a_sentence(folder, model, red, blue, word):
    with open_store(folder, ["red", "blue"]) as store:
        fill_items(store)
        items = store.items(limit=100)
        chosen = [item for item in items if item.path.startswith("red")][:red]
        chosen += [item for item in items if item.path.startswith("blue")][:blue]
        store.append(
            LabelEvent("c", number, "ann", item.id, "label", {"label": label_of(item.path)}, 1.0)
            for number, item in enumerate(chosen)
        )
        with pytest.raises(DatasetError, match=word):
            retrain(store, model, trust_adapters=TRUST)


def test_a_class_of_one_item_is_left_out_with_a_warning(folder, model):
    with open_store(folder, ["red", "blue", "rare"]) as store:
        fill_items(store)
        label_some(store, 4)
        other = next(item for item in store.items(limit=100) if not item.labels)
        store.append([LabelEvent("c", 0, "bo", other.id, "label", {"label": "rare"}, 1.0)])
        report = retrain(store, model, trust_adapters=TRUST)
        assert report.classes == {"blue": 4, "red": 4}
        assert any("rare" in warning for warning in report.warnings)


def test_files_that_are_gone_or_damaged_since(folder, model):
    with open_store(folder, ["red", "blue"]) as store:
        fill_items(store)
        label_some(store, 5)
        (folder / "red1.png").write_bytes(b"no picture")
        (folder / "blue1.png").unlink()
        report = retrain(store, model, trust_adapters=TRUST)
        assert report.clips == 8
        assert report.skipped == 2


def test_identical_pictures_give_a_figure(tmp_path, model):
    for number in range(8):
        picture(tmp_path / f"{'red' if number % 2 else 'blue'}{number}.png", RED, 0)
    with open_store(tmp_path, ["red", "blue"]) as store:
        fill_items(store)
        label_some(store, 4)
        report = retrain(store, model, trust_adapters=TRUST)
        assert 0 <= report.accuracy <= 1


# Queues ---------------------------------------------------------------------------------------------------------------


def test_queues_of_people(folder):
    with open_store(folder, ["red", "blue"]) as store:
        fill_items(store)
        store.set_overlap(100)
        chosen = label_some(store, 2)
        label_some(store, 2, "bo", wrong=("red0.png",))
        assert [store.item(number).path for number in review_queue(store, "disagree")] == ["red0.png"]
        for kind in ("uncertain", "sure", "model"):
            assert review_queue(store, kind) == []
            assert "No model has scored" in why_empty(store, kind)
        red0 = next(item for item in chosen if item.path == "red0.png")
        store.append([LabelEvent("r", 0, "ann", red0.id, "review", {"label": "red"}, 1.0)])
        assert review_queue(store, "disagree") == []
        with pytest.raises(ConfigError, match="kind"):
            review_queue(store, "best")  # type: ignore[arg-type]


def test_filters(folder, model):
    with open_store(folder, ["red", "blue"]) as store:
        fill_items(store)
        prelabel(store, model, trust_adapters=TRUST)
        assert len(review_queue(store, "sure", ReviewFilter(label="red"))) == 8
        assert len(review_queue(store, "sure", ReviewFilter(text="RED1"))) == 1
        assert review_queue(store, "sure", ReviewFilter(low=0.0, high=0.1)) == []
        for chosen in (ReviewFilter(label="red"), ReviewFilter(text="RED1"), ReviewFilter(low=0.0, high=0.1)):
            counts = review_counts(store, chosen)
            assert counts == {kind: len(review_queue(store, kind, chosen)) for kind in counts}
        assert review_counts(store)["sure"] > review_counts(store, ReviewFilter(label="red"))["sure"] > 0
    with pytest.raises(ConfigError, match="scores"):
        ReviewFilter(low=0.9, high=0.1)
