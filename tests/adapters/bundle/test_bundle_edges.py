"""Bundles at the edges of what is allowed: names, lists, leftovers of other writers, and files beside the own ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_bundle import CONFIG, reseal, save, visible

from adapters.bundle import read_bundle, read_bundle_config, render_card, require_own
from adapters.errors import BundleError
from adapters.evaluation import evaluate


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    save(tmp_path / "model")
    return tmp_path / "model"


def test_the_config_alone_is_read_beside_damage_and_never_damaged_itself(bundle: Path) -> None:
    (bundle / "weights.safetensors").write_bytes(b"damaged")
    assert read_bundle_config(bundle) == CONFIG
    data = (bundle / "config.json").read_bytes()
    (bundle / "config.json").write_bytes(data.replace(b"zoo", b"pub"))
    with pytest.raises(BundleError, match=r"config\.json: is damaged or was changed"):
        read_bundle_config(bundle)
    (bundle / "config.json").write_bytes(data + b" ")
    with pytest.raises(BundleError, match=rf"config\.json: is damaged: {len(data) + 1} bytes, .* lists {len(data)}"):
        read_bundle_config(bundle)


@pytest.mark.parametrize("change", [{"version": 0}, {"version": 2}, {"version": "1"}, {"format": "cliplab-model"}])
def test_another_version_or_format_is_refused(bundle: Path, change: dict[str, Any]) -> None:
    reseal(bundle, lambda manifest: manifest.update(change))
    with pytest.raises(BundleError, match=rf"bundle\.json: has {next(iter(change))}"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "entry",
    [{"size_bytes": True}, {"size_bytes": 1.0}, {"size_bytes": None}, {"sha256": "a" * 63}, {"sha256": "A" * 64}],
)
def test_an_entry_that_is_none_is_refused(bundle: Path, entry: dict[str, Any]) -> None:
    reseal(bundle, lambda manifest: manifest["files"]["card.md"].update(entry))
    with pytest.raises(BundleError, match=r"card\.md has no valid sha256 and size_bytes"):
        read_bundle(bundle)


def test_names_may_be_eight_parts_deep(tmp_path: Path) -> None:
    deep = "/".join("abcdefgh")
    save(tmp_path / "deep", extra={deep: b"x", "a_b.c-d+e": b"y"})
    assert set(read_bundle(tmp_path / "deep").extra) == {deep, "a_b.c-d+e"}
    with pytest.raises(BundleError, match="is not allowed"):
        save(tmp_path / "deeper", extra={f"{deep}/i": b"x"})


@pytest.mark.parametrize("name", ["config.json", "golden.npz", "weights.safetensors", "programs/other.bin", "card.md"])
def test_an_extra_file_is_none_of_the_own_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="own file"):
        save(tmp_path / "new", extra={name: b"x"})
    assert not (tmp_path / "new").exists()


def test_names_that_differ_in_case_alone_are_refused(bundle: Path) -> None:
    """On some disks they are one file."""
    with pytest.raises(BundleError, match="upper and lower case"):
        save(bundle, extra={"notes.txt": b"x", "Notes.txt": b"y"}, card="new")
    assert read_bundle(bundle).card != "new"


def test_a_program_is_called_by_its_name_with_or_without_a_suffix(tmp_path: Path) -> None:
    save(tmp_path, programs={"a": b"1", "b.tflite": b"2", "c.tflite.x": b"3"})
    read = read_bundle(tmp_path)
    assert {name: path.read_bytes() for name, path in read.programs.items()} == {
        "a": b"1",
        "b": b"2",
        "c.tflite.x": b"3",
    }
    assert (tmp_path / "programs" / "c.tflite.x.tflite").is_file()


def test_folders_of_the_old_content_go_where_they_are_empty(bundle: Path) -> None:
    save(bundle, extra={"a/b/one.txt": b"1", "a/two.txt": b"2"})
    save(bundle, extra={"a/two.txt": b"2"})
    assert (bundle / "a").is_dir()
    assert not (bundle / "a" / "b").exists()
    (bundle / "a" / ".hidden").write_text("of another tool")
    save(bundle, extra=None)
    assert (bundle / "a" / ".hidden").exists()
    assert "a/two.txt" not in visible(bundle)


def test_what_killed_writers_left_is_removed_by_the_next(bundle: Path) -> None:
    (bundle / ".bundle.json.0123456789ab.tmp").write_bytes(b"half")
    (bundle / ".cliplab-staged").mkdir()
    (bundle / ".cliplab-staged" / "card.md").write_bytes(b"never committed")
    assert read_bundle(bundle).card.startswith("# Y")
    save(bundle, card="new")
    assert not list(bundle.glob(".*"))
    assert read_bundle(bundle).card == "new"


def test_a_linked_folder_is_no_part_of_a_bundle(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (bundle / "link").symlink_to(tmp_path / "elsewhere")
    for call in (read_bundle, require_own):
        with pytest.raises(BundleError, match="link: is not a file of this bundle"):
            call(bundle)
    (bundle / "link").unlink()
    require_own(bundle)
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"notes\.txt"):
        require_own(bundle)
    require_own(tmp_path / "elsewhere")


@pytest.mark.parametrize("order", ["C", "F"])
def test_weights_of_any_layout_keep_values_types_and_shapes(tmp_path: Path, order: Any) -> None:
    weights = {
        "a": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1).copy(order),
        "b": np.array(3.5, np.float64),
        "c": np.zeros((0, 3), np.int8),
        "d": np.arange(9, dtype=np.int64)[::-2],
    }
    save(tmp_path, weights=weights)
    found = read_bundle(tmp_path).weights()
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value)
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), object(), {1, 2}])
def test_values_that_json_does_not_have_are_refused(tmp_path: Path, value: object) -> None:
    for key in ("config", "metrics"):
        with pytest.raises(BundleError, match=rf"{key}\.json: cannot be written as JSON"):
            save(tmp_path / "new", **{key: {"value": value}})
    assert not (tmp_path / "new").exists()


def test_a_setting_of_zero_or_false_is_on_the_card() -> None:
    card = render_card({"adapter": "a:B", "task": "multi_label", "threshold": 0, "mean": 0.0}, ["ad"], {})
    assert "| threshold | 0 |" in card
    assert "| mean | 0" in card


@pytest.mark.parametrize(
    "changed",
    [
        {"per_class": [3]},
        {"per_class": ["x"]},
        {"per_class": [{"label": "ad"}]},
        {"per_class": {"ad": 1}},
        {"intervals": None},
        {"intervals": {"f1": []}},
        {"intervals": {"f1": "ab"}},
        {"notes": 3},
        {"f1": "high"},
        {"clips": None, "groups": None, "positive_label": ["a"]},
    ],
    ids=str,
)
def test_a_report_of_other_software_leaves_a_card_without_it(changed: dict[str, Any]) -> None:
    truth = np.array([0, 1, 1, 0])
    scores = np.where(np.arange(2) == truth[:, None], 0.8, 0.2).astype(np.float32)
    report = evaluate(scores, truth, ("a", "ad"), positive_label="ad").to_json()
    config = {"adapter": "a:B", "task": "single_label"}
    assert "## Measured on" in render_card(config, ["a", "ad"], {"validation": report})
    card = render_card(config, ["a", "ad"], {"validation": report | changed, "thresholds": {"classes": [changed]}})
    assert card.startswith("# B")
