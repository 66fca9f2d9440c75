"""Conversion of networks to LiteRT at every precision, and the report that measures what it cost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_programs import TINY, images, tiny_model, tiny_program

from adapters.errors import ConversionError
from adapters.litert import Program, compare, to_litert, xnnpack_partitions
from adapters.litert.graph import operators
from adapters.records import PRECISIONS, RequestedPrecision
from adapters.reports import AccuracyDrop, ConversionReport

tf_keras = pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")


@pytest.mark.parametrize(
    "quantize, tolerance", [("float32", 1e-5), ("float16", 2e-3), ("dynamic", 0.03), ("int8", 0.05)]
)
def test_every_precision_keeps_the_scores_of_the_network(quantize: RequestedPrecision, tolerance: float) -> None:
    """Dropout must be off and batch normalisation must use its moving statistics, or float32 would be far off."""
    items = images(40, seed=9)
    expected = tiny_model()(items, training=False)["scores"].numpy()
    program = Program(tiny_program(quantize), 1)
    found = program.run(items)
    assert np.abs(found["scores"] - expected).max() < tolerance
    assert {name: array.dtype for name, array in found.items()} == {"scores": np.float32, "features": np.float32}
    assert program.precision == quantize


def test_quantised_programs_are_smaller_and_differ_from_float() -> None:
    items = images(5)
    exact = Program(tiny_program(), 1).run(items)["scores"]
    for quantize in ("float16", "dynamic", "int8"):
        assert len(tiny_program(quantize)) < len(tiny_program())
        assert np.abs(Program(tiny_program(quantize), 1).run(items)["scores"] - exact).max() > 0


def test_names_and_shapes_are_the_programs_contract() -> None:
    from ai_edge_litert.interpreter import Interpreter

    for quantize in ("float32", "int8"):
        interpreter = Interpreter(model_content=tiny_program(quantize, 4 if quantize == "float32" else 1))
        signature = interpreter.get_signature_list()
        assert signature == {"serving_default": {"inputs": ["images"], "outputs": ["features", "scores"]}}
        assert interpreter.get_input_details()[0]["dtype"] is np.float32


def test_one_unnamed_output_gets_the_name_that_is_asked_for() -> None:
    class Double:
        variables = ()

        def __call__(self, x: Any) -> Any:
            return x * 2

    assert list(Program(to_litert(Double(), (1, 4)), 1).output_shapes) == ["scores"]
    program = Program(to_litert(Double(), (1, 4), output_name="features"), 1)
    np.testing.assert_array_equal(program.run(np.ones((3, 4), np.float32))["features"], np.full((3, 4), 2, np.float32))


def test_it_tells_nothing_also_where_tensorflow_would() -> None:
    """As in a notebook, where TensorFlow sets its logger to INFO."""
    logger, heard = logging.getLogger("tensorflow"), BufferingHandler(100)
    level = logger.level
    logger.addHandler(heard)
    try:
        logger.setLevel(logging.INFO)
        tiny_program()
        assert logger.level == logging.INFO
        logger.info("after")
    finally:
        logger.removeHandler(heard)
        logger.setLevel(level)
    assert [record.getMessage() for record in heard.buffer] == ["after"]


def test_the_same_network_gives_the_same_bytes() -> None:
    assert to_litert(tiny_model(), (1, *TINY)) == tiny_program()


def test_operators_and_partitions_of_each_precision() -> None:
    for quantize in PRECISIONS:
        found = operators(tiny_program(quantize))
        assert found["CONV_2D"] == found["DEPTHWISE_CONV_2D"] == found["FULLY_CONNECTED"] == 1
        assert not any(name.startswith(("custom:", "unknown:")) for name in found)
        assert list(found.values()) == sorted(found.values(), reverse=True)
    assert operators(tiny_program("int8"))["QUANTIZE"] >= 1
    assert xnnpack_partitions(tiny_program()) in (1, None)


def test_conversion_prints_nothing_and_logs_no_warning(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tiny_model()  # its own making may print
    capfd.readouterr()
    with caplog.at_level(logging.WARNING):
        to_litert(tiny_model(), (1, *TINY), "int8", [images(1)])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert caplog.records == []


# Refusals -------------------------------------------------------------------------------------------------------------


def test_int8_needs_calibration() -> None:
    with pytest.raises(ConversionError, match='"int8" was asked for without calibration'):
        to_litert(tiny_model(), (1, *TINY), "int8")
    with pytest.raises(ConversionError, match="calibration holds no batches"):
        to_litert(tiny_model(), (1, *TINY), "int8", [])


@pytest.mark.parametrize(
    "batch, received",
    [
        (images(2), r"float32 \[2, 12, 10, 3\]"),
        (images(1).astype(np.float64), "float64"),
        (images(1)[0], r"float32 \[12, 10, 3\]"),
        ("clip", "str"),
    ],
)
def test_a_calibration_batch_of_another_kind_is_named(batch: Any, received: str) -> None:
    with pytest.raises(ConversionError, match=rf"calibration batch 1 is {received}.* must be float32 \[1, 12, 10, 3\]"):
        to_litert(tiny_model(), (1, *TINY), "int8", [images(1), batch])


def test_calibration_with_nan_is_refused_and_its_own_errors_pass_through() -> None:
    with pytest.raises(ConversionError, match="calibration batch 0 holds values that are not finite"):
        to_litert(tiny_model(), (1, *TINY), "int8", [np.full((1, *TINY), np.nan, np.float32)])

    def broken() -> Iterator[np.ndarray]:
        yield images(1)
        raise ConversionError("the second clip is gone")

    with pytest.raises(ConversionError, match="the second clip is gone"):
        to_litert(tiny_model(), (1, *TINY), "int8", broken())


def test_calibration_may_come_from_a_program_that_runs_meanwhile() -> None:
    """A pool that opens its second interpreter in the middle of a conversion must not wait for the conversion's end."""

    def from_a_pool() -> Iterator[np.ndarray]:
        for seed in range(3):
            Program(tiny_program(), 2).run(images(64, seed=seed))
            yield images(1, seed=seed)

    assert Program(to_litert(tiny_model(), (1, *TINY), "int8", from_a_pool()), 1).precision == "int8"


@pytest.mark.parametrize("shape", [(), (None, *TINY), (0, *TINY), (1.0, *TINY)])
def test_a_shape_that_is_not_fixed_is_refused(shape: Any) -> None:
    with pytest.raises(ConversionError, match="one fixed shape"):
        to_litert(tiny_model(), shape)


def test_unknown_quantisation_and_other_input_shapes_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"precision.*int4"):
        to_litert(tiny_model(), (1, *TINY), "int4")  # type: ignore[arg-type]
    with pytest.raises(ConversionError, match=r"could not be converted to LiteRT \[1, 12, 10, 4\] 'float32'"):
        to_litert(tiny_model(), (1, 12, 10, 4))


def test_an_operator_that_is_not_built_in_is_named() -> None:
    import tensorflow as tf

    class Determinant:
        variables = ()

        def __call__(self, x: Any) -> Any:
            return tf.linalg.det(x)

    with pytest.raises(ConversionError, match="MatrixDeterminant"):
        to_litert(Determinant(), (1, 3, 3))


# The report -----------------------------------------------------------------------------------------------------------


def report(source: Any, converted: Any, batches: Any, min_agreement: float = 0.9, **changes: Any) -> ConversionReport:
    settings: dict[str, Any] = {
        "clip_origin": "rendered noise",
        "output_path": Path("out.tflite"),
        "quantize": "dynamic",
        "source_size_bytes": 1000,
        "model": tiny_program("dynamic"),
    }
    return compare(source, converted, batches, min_agreement=min_agreement, **{**settings, **changes})


def rows(*scores: list[float]) -> np.ndarray:
    return np.array(scores, np.float32)


def test_a_report_of_real_programs_measures_them() -> None:
    exact, small = Program(tiny_program(), 1), Program(tiny_program("dynamic"), 1)
    batches = [images(1, seed=seed) for seed in range(30)]
    expected = np.concatenate([exact.run(batch)["scores"] for batch in batches])
    received = np.concatenate([small.run(batch)["scores"] for batch in batches])

    found = report(
        lambda batch: exact.run(batch)["scores"], lambda batch: small.run(batch)["scores"], iter(batches), 0.5
    )

    assert found.clips == 30
    assert found.clip_origin == "rendered noise"
    assert found.max_score_difference == pytest.approx(np.abs(expected - received).max())
    assert found.agreement == pytest.approx((expected.argmax(1) == received.argmax(1)).mean())
    assert found.size_bytes == len(tiny_program("dynamic"))
    assert found.operators == operators(tiny_program("dynamic"))
    assert found.source_ms > 0
    assert found.converted_ms > 0
    assert found.to_json()["output_path"] == "out.tflite"


def test_agreement_counts_clips_and_not_batches() -> None:
    batches = [rows([0.6, 0.4], [0.9, 0.1], [0.2, 0.8]), rows([0.3, 0.7])]
    found = report(lambda x: x, lambda x: np.where(x == np.float32(0.6), np.float32(0.3), x), batches, 0.75)
    assert found.clips == 4
    assert found.agreement == 0.75
    assert found.max_score_difference == pytest.approx(0.3)


def test_too_little_agreement_fails_with_the_figures() -> None:
    batches = [rows([0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7])]
    with pytest.raises(ConversionError, match=r"on 2 of 4 clips \(rendered noise\), 0.500; at least 0.9") as caught:
        report(lambda x: x, lambda x: np.tile(np.float32([0.7, 0.3]), (4, 1)), batches)
    assert "largest score difference is 0.5000" in str(caught.value)
    assert report(lambda x: x, lambda x: np.tile(np.float32([0.7, 0.3]), (4, 1)), batches, 0.5).agreement == 0.5


def test_a_single_sigmoid_agrees_where_both_say_yes_or_no() -> None:
    batches = [rows([0.9], [0.1], [0.6], [0.4])]
    found = report(lambda x: x, lambda x: x - np.float32(0.2), batches, 0.5)
    assert found.agreement == 0.75


def test_a_label_that_changes_between_two_near_equal_scores_is_a_near_tie() -> None:
    batches = [rows([0.52, 0.48], [0.9, 0.1]), rows([0.2, 0.8], [0.95, 0.05])]
    changed = {"converted": lambda x: np.where(x[:, :1] == np.float32(0.52), x[:, ::-1], x)}
    found = report(lambda x: x, changed["converted"], batches, 0.98, allow_near_ties=True)
    assert (found.agreement, found.near_ties) == (0.75, 1)
    with pytest.raises(ConversionError, match=r"at least 0\.98"):
        report(lambda x: x, changed["converted"], batches, 0.98)
    with pytest.raises(ConversionError, match="on 3 of 4"):
        report(lambda x: x, lambda x: np.where(x[:, :1] > 0.92, x[:, ::-1], x), batches, 0.98, allow_near_ties=True)


@pytest.mark.parametrize(
    ("drop", "interval", "allowed", "passes"),
    [(0.02, (0.01, 0.03), 0.01, False), (0.02, (-0.01, 0.05), 0.01, True), (0.02, (0.01, 0.03), 0.05, True)],
)
def test_a_drop_in_accuracy_that_is_no_chance_fails(
    drop: float, interval: tuple[float, float], allowed: float, passes: bool
) -> None:
    def measured(before: np.ndarray, after: np.ndarray) -> AccuracyDrop:
        assert before.shape == after.shape == (2, 2)
        return AccuracyDrop(0.9, 0.9 - drop, drop, interval, 2, 2)

    batches = [rows([0.6, 0.4]), rows([0.3, 0.7])]
    settings: dict[str, Any] = {"accuracy": measured, "max_accuracy_drop": allowed}
    if passes:
        assert report(lambda x: x, lambda x: x, batches, 0.0, **settings).accuracy.drop == drop  # type: ignore[union-attr]
        return
    with pytest.raises(ConversionError, match=r"a drop of 0\.020, 95% interval 0\.010 to 0\.030; at most 0\.01"):
        report(lambda x: x, lambda x: x, batches, 0.0, **settings)


def test_times_are_a_clips_and_leave_out_the_first_run() -> None:
    import time

    took = []

    def slow_at_first(x: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        time.sleep(0.002 if took else 0.5)
        took.append((time.perf_counter() - start) * 1e3 / len(x))
        return x

    found = report(slow_at_first, lambda x: x, [rows(*[[0.6, 0.4], [0.9, 0.1]] * 10)] * 3)
    assert len(took) == 4
    a_clip = np.median(took[1:])
    assert 0.1 <= a_clip <= found.source_ms < 8 * a_clip  # of the whole batch it would be 20 times that
    assert found.source_ms < took[0]
    assert found.converted_ms < found.source_ms


def test_scores_that_cannot_be_compared_are_refused() -> None:
    good = rows([0.6, 0.4])
    with pytest.raises(ConversionError, match=r"no clips to compare on \(rendered noise\)"):
        report(lambda x: x, lambda x: x, [])
    with pytest.raises(ConversionError, match="converted program gives scores that are not finite"):
        report(lambda x: x, lambda x: x * np.float32(np.nan), [good])
    with pytest.raises(ConversionError, match=r"scores \[1, 2\] and the program \[1, 1\]"):
        report(lambda x: x, lambda x: x[:, :1], [good])
