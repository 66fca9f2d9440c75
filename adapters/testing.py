"""What every adapter promises, as tests that an adapter's author runs.

    from adapters.testing import AdapterContract

    class TestMine(AdapterContract):
        config = "mine.json"
        overrides = {"imgz": 32, "n_frames": 2}

pytest collects the tests of the subclass. This module needs no pytest, and no TensorFlow when imported. The tests read
no file of the checkout, so they also run against an installed package. docs/adding_an_adapter.md has an example.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from adapters.base import BaseModelAdapter, model_class
from adapters.bundle import check_golden, read_bundle, render_clip, write_sealed
from adapters.config import check_config, key_effect, key_schemas, trusting
from adapters.errors import BundleError, ConfigError, ConversionError, WeightsError
from adapters.inference import open_model, read_config
from adapters.records import Clip, Float32Array, InputSpec, Precision

_FAMILIES = ("adapters.models.resnet18:ResNet18Adapter", "adapters.models.mobilenet:MobileNetAdapter")
ConfigSource = str | Path | Mapping[str, Any]
_HEAVY = ("tensorflow", "tf_keras", "matplotlib", "sklearn")
# Runs in a separate process: prints the scores of one clip from each named model, and the heavy modules imported.
_PREDICT = f"""
import json, sys
from adapters.bundle import render_clip
from adapters.inference import open_model
found = []
for path in sys.argv[2:]:
    model = open_model(path, None, json.loads(sys.argv[1]))
    found.append(model.predict([render_clip(model.input_spec)])[0].scores.tolist())
print(json.dumps([[name for name in {_HEAVY} if name in sys.modules], found]))
"""


def render_clips(spec: InputSpec, count: int = 3) -> list[Clip]:
    """Rendered clips of different sizes, as a notebook may pass them.

    Args:
        spec: The model's input spec.
        count: How many.

    Returns:
        Clips with frames uint8 [n_frames, H, W, 3] RGB.
    """
    sizes = ((spec.height, spec.width), (spec.height + 17, spec.width * 2), (spec.height * 2, spec.width + 3))
    return [
        render_clip(InputSpec(height=height, width=width, n_frames=spec.n_frames), variant=number)
        for number, (height, width) in ((number, sizes[number % 3]) for number in range(count))
    ]


class AdapterContract:
    """The contract for one config. Subclass it and set ``config``; the other attributes describe exceptions.

    Attributes:
        config: A file, the name of a ready config, or the object. ``prepare`` may make it instead.
        overrides: Keys that make the model small, such as a small ``imgz``, so that the tests are quick.
        convertible: Whether ``convert`` writes a file; if False, it must raise ConversionError.
        convert_to: The precision of the converted file.
        converted_tolerance: How far scores of the converted file may differ.
        has_golden: Whether ``save`` writes a golden clip, as ``adapters.bundle.make_golden`` makes it.
        other_size: Another ``imgz`` to run; None to leave out the run and check the config only.
        trust_adapters: The adapter's "module:Class", where no installed package registers it.
    """

    config: ClassVar[ConfigSource]
    overrides: ClassVar[Mapping[str, Any]] = {}
    convertible: ClassVar[bool] = True
    convert_to: ClassVar[Precision] = "dynamic"
    converted_tolerance: ClassVar[float] = 5e-2
    has_golden: ClassVar[bool] = True
    other_size: ClassVar[int | None] = 48
    trust_adapters: ClassVar[Sequence[str]] = ()

    # Made once for the class by setup_class.
    source: ClassVar[ConfigSource]
    adapter: ClassVar[BaseModelAdapter]
    bundle: ClassVar[Path]
    tflite: ClassVar[Path | None]
    _folder: ClassVar[tempfile.TemporaryDirectory[str]]
    _own_cache: ClassVar[bool]
    _trusting: ClassVar[ExitStack]

    @classmethod
    def prepare(cls, folder: Path) -> ConfigSource:
        """The config to test. Override it if files must lie beside the config.

        Args:
            folder: An empty folder for these files.
        """
        return cls.config

    @classmethod
    def setup_class(cls) -> None:
        """Open, save and convert the model once, in a temporary folder; pytest calls this."""
        cls._folder = tempfile.TemporaryDirectory(prefix="adapter_contract_")
        folder = Path(cls._folder.name)
        cls._own_cache = "CLIPLAB_CACHE" not in os.environ
        if cls._own_cache:
            os.environ["CLIPLAB_CACHE"] = str(folder / "cache")
        cls._trusting = ExitStack()
        try:
            cls._trusting.enter_context(trusting(cls.trust_adapters))
            (folder / "config").mkdir()
            cls.source = cls.prepare(folder / "config")
            cls.adapter = open_model(cls.source, cls.overrides)
            cls.bundle, cls.tflite = folder / "bundle", None
            cls.adapter.save(cls.bundle)
            if cls.convertible:
                cls.tflite = folder / "model.tflite"
                cls.adapter.convert(cls.tflite, quantize=cls.convert_to)
        except BaseException:  # pytest does not call teardown_class then
            cls.teardown_class()
            raise

    @classmethod
    def teardown_class(cls) -> None:
        """Remove what setup_class made; pytest calls this."""
        if cls._own_cache:
            os.environ.pop("CLIPLAB_CACHE", None)
        cls._trusting.close()
        cls._folder.cleanup()
        for name in ("adapter", "source", "bundle", "tflite"):
            if name in vars(cls):
                delattr(cls, name)

    # The config ---------------------------------------------------------------------------------------------------

    def test_config_is_complete_and_stable(self) -> None:
        complete = check_config(read_config(self.source))
        assert check_config(complete) == complete
        assert set(complete) == set(key_schemas(complete["adapter"]))

    def test_every_key_is_explained(self) -> None:
        for key, rule in key_schemas(read_config(self.source)["adapter"]).items():
            assert rule.get("title"), f"{key} has no title"
            assert rule.get("description"), f"{key} has no description"
            assert rule.get("x-effect") in ("runtime", "program", "retrain"), f"{key}: x-effect"
            assert key == "adapter" or "default" in rule, f"{key} has no default"

    def test_misspelt_key_is_suggested(self) -> None:
        with _raises(ConfigError, 'Did you mean "n_frames"'):
            open_model(self.source, {"n_frame": 3})

    # Prediction ---------------------------------------------------------------------------------------------------

    def test_predict_answers_each_clip(self) -> None:
        batch = self.clips()
        predictions = self.adapter.predict(batch)
        assert len(predictions) == len(batch)
        for clip, prediction in zip(batch, predictions, strict=True):
            assert prediction.labels == self.adapter.labels
            assert prediction.scores.dtype == np.float32
            assert prediction.scores.shape == (len(self.adapter.labels),)
            assert (prediction.start, prediction.end) == (clip.start, clip.end)
            assert (prediction.scores >= 0).all()
            assert (prediction.scores <= 1).all()
            if self.adapter.config["task"] == "single_label":
                np.testing.assert_allclose(prediction.scores.sum(), 1, atol=1e-4)
            if prediction.frame_scores is not None:
                assert prediction.frame_scores.shape[1] == len(self.adapter.labels)

    def test_predict_nothing(self) -> None:
        assert self.adapter.predict([]) == []

    def test_a_clip_scores_the_same_alone_and_in_a_batch(self) -> None:
        batch = self.clips()
        alone = np.concatenate([_scores(self.adapter, [clip]) for clip in batch])
        np.testing.assert_allclose(_scores(self.adapter, batch), alone, atol=1e-6)

    def test_predict_from_threads(self) -> None:
        batch = self.clips()
        expected = _scores(self.adapter, batch)
        found: dict[int, Float32Array] = {}
        threads = [
            threading.Thread(target=lambda n=number: found.update({n: _scores(self.adapter, batch)}))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4, "a thread failed"
        for value in found.values():
            np.testing.assert_allclose(value, expected, atol=1e-6)

    def test_embed(self) -> None:
        features = self.adapter.embed(self.clips())
        assert features.dtype == np.float32
        assert features.shape[0] == 3
        assert self.adapter.embed([]).shape == (0, features.shape[1])
        assert np.abs(features[0] - features[1]).max() > 0

    def test_one_run_predicts_and_embeds(self) -> None:
        clips = self.clips()
        both = self.adapter.predict_with_features(clips)
        np.testing.assert_allclose([each.scores for each, _ in both], _scores(self.adapter, clips), atol=1e-5)
        found = [features for _, features in both]
        assert all(each is None for each in found) or all(each is not None for each in found)
        if found[0] is not None:
            np.testing.assert_allclose(np.stack(found), self.adapter.embed(clips), atol=1e-5)  # type: ignore[arg-type]
        assert self.adapter.predict_with_features([]) == []

    # A stored model -----------------------------------------------------------------------------------------------

    def test_save_and_load(self) -> None:
        loaded = open_model(self.bundle)
        assert loaded.labels == self.adapter.labels
        np.testing.assert_allclose(_scores(loaded, self.clips()), _scores(self.adapter, self.clips()), atol=1e-5)

    def test_save_into_a_folder_that_exists(self) -> None:
        with self.copied_bundle() as copy:
            self.adapter.save(copy)
            assert open_model(copy).labels == self.adapter.labels
            empty = copy.with_name("empty")
            empty.mkdir()
            self.adapter.save(empty)
            assert open_model(empty).labels == self.adapter.labels

    def test_golden_clip_holds(self) -> None:
        golden = read_bundle(self.bundle).golden
        assert (golden is not None) == self.has_golden, "has_golden says whether save writes a golden clip"
        if golden is None:
            return
        model = open_model(self.bundle)
        precision = model.config["quantize"]
        difference = check_golden(golden, model.predict, precision)
        assert difference < (1e-5 if precision == "float32" else 0.1)

    def test_loads_without_tensorflow(self) -> None:
        models = [self.bundle, *([] if self.tflite is None else [self.tflite])]
        done = subprocess.run(
            [sys.executable, "-c", _PREDICT, json.dumps(self.trust_adapters), *map(str, models)],
            capture_output=True,
            text=True,
            check=False,
            # The adapter's module may lie in a folder that only this process has on its path.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert done.returncode == 0, done.stderr
        heavy, found = json.loads(done.stdout)
        assert heavy == []
        expected = _scores(self.adapter, [render_clip(self.adapter.input_spec)])[0]
        np.testing.assert_allclose(found[0], expected, atol=1e-5)
        for other in found[1:]:
            np.testing.assert_allclose(other, expected, atol=self.converted_tolerance)

    def test_config_beside_a_model(self) -> None:
        assert open_model(self.bundle, {"top_k": 1}).config["top_k"] == 1
        with _raises(ConfigError, "mean"):
            open_model(self.bundle, {"mean": 1.5})

    def test_an_edited_size_is_run_or_refused(self) -> None:
        size = 48 if self.other_size is None else self.other_size
        if key_effect(self.adapter.config["adapter"], "imgz") != "program":
            with _raises(ConfigError, "imgz"):
                open_model(self.bundle, {"imgz": size})
            return
        larger = open_model(self.bundle, {"imgz": size})
        assert larger.input_spec.height == size
        if self.other_size is not None:
            assert larger.predict(self.clips(1))[0].labels == self.adapter.labels

    def test_damage_is_refused_by_name(self) -> None:
        found = {path.relative_to(self.bundle) for path in self.bundle.rglob("*") if path.is_file()}
        kinds = ("config.json", "weights.safetensors", "programs/*")
        victims = [next(iter(sorted(path for path in found if path.match(kind))), None) for kind in kinds]
        assert victims[0] is not None
        for victim in (path for path in victims if path is not None):
            with self.copied_bundle() as copy:
                data = bytearray((copy / victim).read_bytes())
                data[len(data) // 2] ^= 0xFF
                (copy / victim).write_bytes(data)
                with _raises(BundleError, re.escape(victim.name)):
                    open_model(copy)

    def test_a_model_of_another_adapter_is_refused(self) -> None:
        """The bundle is sealed again, so that nothing is wrong with it but the name in its config."""
        with self.copied_bundle() as copy:
            files = {path.relative_to(copy).as_posix(): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
            del files["bundle.json"]
            config = json.loads(files["config.json"])
            own = type(self.adapter)
            other = next(name for name in _FAMILIES if model_class(name) is not own)
            for name, error in ((other, BundleError), ("os:path", ConfigError)):
                changed = json.dumps({"schema_version": config["schema_version"], "adapter": name}).encode()
                write_sealed(copy.with_name("foreign"), files | {"config.json": changed})
                with _raises(error, re.escape(name)):
                    own(config).load(copy.with_name("foreign"))
            with _raises(ConfigError, "os:path"):
                open_model(copy.with_name("foreign"))

    # One file -----------------------------------------------------------------------------------------------------

    def test_converted_file_stands_alone(self) -> None:
        with self.copied_bundle() as copy:
            lonely = copy.with_name("renamed.tflite")
            if self.tflite is None:
                with _raises(ConversionError, ""):
                    self.adapter.convert(lonely)
                assert not lonely.exists()
                return
            shutil.copy(self.tflite, lonely)
            loaded = open_model(lonely)
            assert loaded.labels == self.adapter.labels
            assert loaded.input_spec == self.adapter.input_spec
            np.testing.assert_allclose(
                _scores(loaded, self.clips()), _scores(self.adapter, self.clips()), atol=self.converted_tolerance
            )
            with _raises(WeightsError, "bundle"):
                loaded.train(copy.with_name("dataset.jsonl"), copy.with_name("out"))
            with _raises(ConfigError, "cliplab convert"):
                open_model(lonely, {"imgz": 48}).predict(self.clips(1))

    # Helpers ------------------------------------------------------------------------------------------------------

    def clips(self, count: int = 3) -> list[Clip]:
        """Clips for the model, of different sizes.

        Args:
            count: How many.
        """
        return render_clips(self.adapter.input_spec, count)

    @contextmanager
    def copied_bundle(self) -> Iterator[Path]:
        """A copy of the bundle, alone in a folder of its own, to be changed."""
        with tempfile.TemporaryDirectory(prefix="adapter_contract_") as name:
            yield Path(shutil.copytree(self.bundle, Path(name, "copy")))


def _scores(adapter: BaseModelAdapter, batch: Sequence[Clip]) -> Float32Array:
    return np.stack([prediction.scores for prediction in adapter.predict(batch)])


@contextmanager
def _raises(kind: type[Exception], pattern: str) -> Iterator[None]:
    """The block must raise an error of this class, with the pattern in its message."""
    raised = None
    try:
        yield
    except kind as error:
        raised = error
    assert raised is not None, f"{kind.__name__} was not raised"
    assert re.search(pattern, str(raised)), f"{kind.__name__} does not name {pattern!r}: {raised}"
