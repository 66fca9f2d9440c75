"""Prompts with a pair of networks: scores, the folder's layout, tokenizers, and files that are damaged or hostile."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from prompt_pairs import SIZE, WORDS, image_onnx, image_tflite, word_tokenizer, write_pair

from adapters.errors import (
    AdapterError,
    BundleError,
    ConfigError,
    ConversionError,
    ScoresError,
    StorageError,
    TrainingError,
)
from adapters.inference import open_model, parse_prompts, prompt_config, prompt_digest
from adapters.models.prompt_pair import tokenizing
from adapters.models.prompt_pair.files import read_preparation
from adapters.models.prompt_pair.onnx_parts import MAX_NODES, unsound_onnx
from adapters.models.prompt_pair.tokenizing import open_tokenizer
from adapters.records import Clip

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (200, 200, 200)}


@pytest.fixture(scope="module", autouse=True)
def cache(own_cache: Path) -> None:
    """Every test of this module uses one cache."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pair(tmp_path_factory.mktemp("pair"))


def clip_of(*colours: str, height: int = 20, width: int = 30) -> Clip:
    frames = np.zeros((len(colours), height, width, 3), np.uint8)
    for place, name in enumerate(colours):
        frames[place] = COLOURS[name]
    return Clip(frames, np.arange(len(colours), dtype=np.float64), "clip", 0.0, float(len(colours)))


def model_of(pair: Path, prompts: str = "red; blue", neutral: tuple[str, ...] = ("grey",), **keys: Any) -> Any:
    return open_model({**prompt_config(parse_prompts(prompts), pair, neutral), **keys})


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_pictures_are_scored_by_words(tmp_path: Path, form: str) -> None:
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    model = model_of(write_pair(tmp_path, form))
    assert model.labels == ("red", "blue", "grey")
    assert (model.input_spec.height, model.input_spec.width, model.scores_frames) == (SIZE, SIZE, True)
    for name, best in (("red", 0), ("blue", 1), ("grey", 2)):
        (prediction,) = model.predict([clip_of(name)])
        assert prediction.scores.argmax() == best
        assert prediction.scores.sum() == pytest.approx(1, abs=1e-5)
    (long,) = model.predict([clip_of("red", "blue", "blue")])
    assert long.frame_scores is not None
    assert long.frame_scores.argmax(axis=1).tolist() == [0, 1, 1]
    assert model.embed([clip_of("red")]).shape == (1, 3)


def test_cosines_are_of_each_prompt_by_itself(pair: Path) -> None:
    (prediction,) = model_of(pair, "red", (), scoring="cosine").predict([clip_of("red")])
    assert prediction.scores[0] > 0.9
    (other,) = model_of(pair, "red", (), scoring="cosine").predict([clip_of("blue")])
    assert other.scores[0] == 0
    with pytest.raises(ConfigError, match="at least two texts"):
        model_of(pair, "red", ())


def test_the_scores_by_hand(pair: Path) -> None:
    model = model_of(pair, "red", ("blue",), logit_scale=2.0, templates=["{}"])
    texts = np.array([[2, -1, -1], [-1, -1, 2]], np.float64) / np.sqrt(6)
    picture = np.array([1, -1, -1]) / np.sqrt(3)
    powers = np.exp(2.0 * texts @ picture)
    (prediction,) = model.predict([clip_of("red")])
    assert prediction.scores == pytest.approx(powers / powers.sum(), abs=1e-5)


def test_one_digest_for_one_meaning(pair: Path, tmp_path: Path) -> None:
    config = prompt_config(("red",), pair)
    assert prompt_digest(config) == prompt_digest(prompt_config(("red",), write_pair(tmp_path / "copy")))
    assert prompt_digest(config) != prompt_digest(prompt_config(("blue",), pair))
    assert prompt_digest(config) != prompt_digest({**config, "logit_scale": 20.0})
    other = write_pair(tmp_path / "other", image_mean=[0.4] * 3)
    assert prompt_digest(config) != prompt_digest(prompt_config(("red",), other))


def test_prompts_as_they_are_typed() -> None:
    assert parse_prompts(" sunset;dive ; fast   turn;") == ("sunset", "dive", "fast turn")
    for text, word in (("; ;", "no words"), ("a;a", "twice"), ("x" * 301, "characters"), ("a\x1b[1mb", "printed")):
        with pytest.raises(ConfigError, match=word):
            parse_prompts(text)
    with pytest.raises(ConfigError, match="at most 64"):
        parse_prompts(";".join(map(str, range(65))))
    with pytest.raises(ConfigError, match=r"cliplab detect SOURCE -o X.json.*reel"):
        prompt_config(("a",), None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: (d / "image.tflite").unlink(), "has no image.onnx or image.tflite"),
        (lambda d: (d / "text.tflite").rename(d / "text_model.onnx"), "Rename text_model.onnx to text.onnx"),
        (lambda d: (d / "text.tflite").rename(d / "model.safetensors"), "model.safetensors is not supported"),
        (lambda d: (d / "image.onnx").write_bytes(image_onnx()), "has both"),
        (lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json and vocab.json and merges.txt missing"),
        (lambda d: (d / "preprocessor_config.json").write_text("[]"), "not a JSON object"),
        (lambda d: (d / "preprocessor_config.json").write_text('{"image_std": [0, 1, 1]}'), "image_std"),
        (lambda d: (d / "preprocessor_config.json").write_text('{"size": 1e9}'), "pixels from 1 to 4096"),
        (lambda d: (d / "preprocessor_config.json").write_text('{"rescale_factor": NaN}'), "JSON|rescale_factor"),
    ],
)
def test_another_layout_is_refused_by_name(tmp_path: Path, change: Any, words: str) -> None:
    folder = write_pair(tmp_path / "pair")
    change(folder)
    with pytest.raises(ConfigError, match=words):
        model_of(folder)
    with pytest.raises(ConfigError, match="no such folder"):
        model_of(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("image.tflite", b"\0" * 500, "not a LiteRT program"),
        ("image.tflite", image_tflite(width=2), "pictures become 2 numbers but texts 3"),
        ("text.tflite", image_tflite(), r"tokens \(input_ids\)"),
        ("tokenizer.json", b'{"model": 1}', "not a tokenizer"),
        ("tokenizer.json", b"\xff\xfe", "cannot be read"),
        ("tokenizer.json", json.dumps(word_tokenizer()).replace('"red": 2', '"red": 99').encode(), "could not be run"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    folder = write_pair(tmp_path)
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=words):
        model_of(folder).predict([clip_of("red")])


DOUBLE = {"type": "Replace", "pattern": {"String": "r"}, "content": "rr"}


SPLIT = {"type": "Split", "pattern": {"Regex": "(?:(a|aa)+)+$x"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("changes", "prompt", "words"),
    [
        # 2**40 letters
        ({"normalizer": {"type": "Sequence", "normalizers": [DOUBLE] * 40}}, "red", "more than 1 seconds|memory|MB"),
        ({"pre_tokenizer": SPLIT}, "a" * 290, "retry-limit|more than 1 seconds"),
        ({"model": {"type": "WordLevel", "vocab": WORDS, "unk_token": "missing"}}, "unheard", "UNK"),
        ({"model": {"type": "\u001b[31mX"}}, "red", "did not match"),
    ],
)
def test_a_tokenizer_that_never_ends_costs_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], prompt: str, words: str
) -> None:
    monkeypatch.setattr(tokenizing, "_CPU_SECONDS", 1)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**word_tokenizer(), **changes}))
    with pytest.raises(BundleError, match=rf"tokenizer\.json: is not a tokenizer, or is damaged \(.*(?:{words})"):
        open_tokenizer([path], 8)([prompt])


def test_a_spread_of_nearly_nothing_is_refused(tmp_path: Path) -> None:
    for name, values in (("image_std", [1e-320, 1, 1]), ("image_std", [1, 1, 1e30]), ("image_mean", [1e30, 0, 0])):
        folder = write_pair(tmp_path / name, **{name: values})
        with pytest.raises(ConfigError, match=f'"{name}" must be three numbers.*each from'):
            model_of(folder)


def test_a_network_that_answers_no_numbers(tmp_path: Path) -> None:
    folder = write_pair(tmp_path, image_mean=[1.0, 0.0, 0.0], image_std=[1.0] * 3)
    with pytest.raises(ScoresError, match="zero or not a finite number"):
        model_of(folder).predict([clip_of("red")])  # the mean is its very colour


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_a_network_that_fails_while_it_runs_is_named(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "onnx":
        pytest.importorskip("onnxruntime")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a kernel failed")

    model = model_of(write_pair(tmp_path, form))
    model.predict([clip_of("red")])
    where = "onnxruntime.InferenceSession.run" if form == "onnx" else "ai_edge_litert.interpreter.Interpreter.invoke"
    monkeypatch.setattr(where, fail)
    with pytest.raises(BundleError, match=rf"image.*\.{form} could not be run \(a kernel failed\)"):
        model.predict([clip_of("blue")])


def test_hostile_onnx_files_are_refused_before_they_run() -> None:
    assert unsound_onnx(image_onnx()) is None
    assert "another file" in str(unsound_onnx(image_onnx(external=True)))
    assert "not built in" in str(unsound_onnx(image_onnx(domain="evil.ops")))
    assert unsound_onnx(b"") == "it has no graph"
    for field in (b"\x0a\x00", b"\x2a\x00"):  # empty nodes, empty weights
        graph = field * MAX_NODES
        assert unsound_onnx(b"\x3a" + _size(graph) + graph) is None
        graph += field
        assert unsound_onnx(b"\x3a" + _size(graph) + graph) == "it has more than 50,000 nodes and weights"
    whole = image_onnx()
    for end in range(0, len(whole), 7):
        unsound_onnx(whole[:end])  # says something, and raises nothing
    nested = b""
    for _ in range(40):  # a graph in an attribute of a node of a graph
        inner = b"\x32" + _size(nested) + nested
        node = b"\x2a" + _size(inner) + inner
        nested = b"\x0a" + _size(node) + node
    assert "too deeply" in str(unsound_onnx(b"\x3a" + _size(nested) + nested))


@pytest.mark.parametrize("beginning", [b"", b"\x3a\x80\x80\x80\x80\x06"])
def test_a_huge_onnx_file_is_refused_before_it_takes_memory(tmp_path: Path, beginning: bytes) -> None:
    write_pair(tmp_path, "onnx")
    with open(tmp_path / "image.onnx", "wb") as file:
        file.write(beginning)
        file.truncate(1_900_000_000)  # takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=r"image\.onnx is damaged or is not an ONNX network .*Download it again"):
            model_of(tmp_path).predict([clip_of("red")])
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def _size(data: bytes) -> bytes:
    value, found = len(data), b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def test_a_large_onnx_is_bounded_by_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    folder = write_pair(tmp_path, "onnx")
    (folder / "image.onnx").write_bytes(image_onnx(domain="ai.onnx"))  # one that did not run before
    monkeypatch.setenv("CLIPLAB_PROGRAM_MEMORY_MB", "1")
    with pytest.raises(BundleError, match=r"image\.onnx .*not an ONNX network.*memory"):
        model_of(folder).predict([clip_of("red")])


def test_words_of_clip_by_vocabulary_and_merges(tmp_path: Path) -> None:
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary += [f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz!"] + ["re", "red</w>", "!"]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    (tmp_path / "vocab.json").write_text(json.dumps(numbers))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nr e\nre d</w>\n")
    encode = open_tokenizer([tmp_path / "vocab.json", tmp_path / "merges.txt"], 8)
    tokens, mask = encode(["  Red\n a!", "red"])
    named = [
        [vocabulary[number] for number in row[: int(count)]] for row, count in zip(tokens, mask.sum(1), strict=True)
    ]
    assert named[0] == ["<|startoftext|>", "red</w>", "a</w>", "!</w>", "<|endoftext|>"]
    assert named[1] == ["<|startoftext|>", "red</w>", "<|endoftext|>"]
    assert tokens[1, 3:].tolist() == [numbers["<|endoftext|>"]] * 5
    with pytest.raises(ConfigError, match="tokens; this text network takes 8"):
        encode(["red red red red red red red"])
    (tmp_path / "merges.txt").write_text("#version: 0.2\nr e d\n")
    with pytest.raises(BundleError, match="not a pair"):
        open_tokenizer([tmp_path / "vocab.json", tmp_path / "merges.txt"], 8)(["red"])
    (tmp_path / "vocab.json").write_text(json.dumps(WORDS))
    with pytest.raises(BundleError, match="startoftext"):
        open_tokenizer([tmp_path / "vocab.json", tmp_path / "merges.txt"], 8)(["red"])


def test_how_pictures_are_prepared(tmp_path: Path) -> None:
    usual = read_preparation(tmp_path)
    assert (usual.size, usual.aspect, usual.crop_fraction) == (None, "crop", 1.0)
    assert usual.mean[0] == pytest.approx(0.48145466 * 255)
    values = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_normalize": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    cropped = read_preparation(tmp_path)
    assert (cropped.size, cropped.crop_fraction) == ((224, 224), 0.875)
    assert (cropped.mean, cropped.scale) == ((0.0,) * 3, (255.0,) * 3)
    wide = {"size": {"height": 180, "width": 320}, "do_center_crop": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(wide))
    stretched = read_preparation(tmp_path)
    assert (stretched.size, stretched.aspect, stretched.crop_fraction) == ((180, 320), "stretch", 1.0)
    for size in (0, 4097, True, 224.0, "224", {"height": 224}, {"shortest_edge": -1}):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": size}))
        with pytest.raises(ConfigError, match="from 1 to 4096"):
            read_preparation(tmp_path)


def test_what_a_pair_cannot_do_is_said(pair: Path, tmp_path: Path) -> None:
    model = model_of(pair)
    for call, error in (
        (lambda: model.save(tmp_path / "b"), StorageError),
        (lambda: model.load(tmp_path), BundleError),
        (lambda: model.convert(tmp_path / "x.tflite"), ConversionError),
        (lambda: model.train(tmp_path, tmp_path), TrainingError),
    ):
        with pytest.raises(error):
            call()
    assert issubclass(ConversionError, AdapterError)
    with pytest.raises(ConfigError, match="repeats the prompt"):
        model_of(pair, "red", ("red",))
