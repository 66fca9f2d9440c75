"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from needs_extras import NEEDS_EXTRAS

# How long an example takes says what else the machine does, and nothing about the code. The same examples in every run,
# so that one that fails was made to fail by a change; `pytest --hypothesis-profile explore` looks for others.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("cliplab", settings.get_profile("explore"), derandomize=True)
settings.load_profile("cliplab")

ROOT = Path(__file__).parent.parent
# What takes longest begins first, so that parallel workers end together; a minute of one file is a minute of the run.
# test_wheel comes after test_contract, whose programs it uses.
LONGEST_FIRST = (
    "test_contract",
    "test_movinet_network",
    "test_demo",
    "test_movinet_adapter",
    "test_movinet_weights",
    "test_dataloop_gateway_train",
    "test_wheel",
    "test_movinet_convert",
    "test_training",
    "test_real_footage",
    "test_fuzz_media",
    "test_fuzz_models",
    "test_label_page",
    "test_head_phase",
    "test_library",
    "test_dataloop_gateway",
    "test_mobilenet",
    "test_stored",
    "test_movinet_end_to_end",
    "test_models_browser",
    "test_movinet_stream",
    "test_program_formats",
    "test_notebooks",
    "test_movinet_bad_input",
    "test_http_slow",
    "test_stream_program",
    "test_tflite_classifier",
    "test_hosts_agree",
    "test_fuzz_requests",
    "test_ads",
)
# A run that a shell has put into the background ignores Ctrl-C, and so would each process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    left_out = collection_path.stem in NEEDS_EXTRAS and "not extras" in config.getoption("markexpr")
    return True if left_out else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in NEEDS_EXTRAS:
            item.add_marker(pytest.mark.extras)
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real media and weights that stands beside the checkout."""
    folder = Path(os.environ.get("CLIPLAB_SHARED", ROOT.parent / "shared"))
    if not (folder / "media").is_dir():
        pytest.skip(f"no media in {folder}: set CLIPLAB_SHARED to the folder that holds media/ and weights/")
    return folder


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted programs that all tests share, as they follow from weights and code alone: a conversion takes seconds.

    Parallel workers share one folder; a test that runs the suite again hands it on in CLIPLAB_TEST_PROGRAMS.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = Path(os.environ.get("CLIPLAB_TEST_PROGRAMS", base / "programs"))
    folder.mkdir(exist_ok=True)
    return folder


def _cache_with(programs: Path, folder: Path) -> Iterator[Path]:
    (folder / "programs").symlink_to(programs, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPLAB_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def own_cache(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the module's own - features, weights - but for the shared programs."""
    yield from _cache_with(programs, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def lite0_cache(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests that train on the pretrained Lite0's features."""
    yield from _cache_with(programs, tmp_path_factory.mktemp("lite0_cache"))
