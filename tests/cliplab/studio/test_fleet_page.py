"""The Fleet page: over HTTP and in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs pip install '.[studio]'")
pytest.importorskip("jinja2", reason="needs pip install '.[studio]'")
pytest.importorskip("alembic", reason="needs pip install '.[registry]'")

from fleets import MODEL, NEW, OLD, Fleet
from starlette.testclient import TestClient
from studio_page import browser, running_studio

from cliplab.registry import Event, open_registry, registry_init
from cliplab.rollout import make_tables, read_report, start_rollout, store_reports
from cliplab.studio import fleet
from cliplab.studio.app import make_app
from cliplab.studio.fleet_rollouts import evidence_bars
from cliplab.studio.options import StudioOptions
from cliplab.studio.services import open_studio

HOSTILE = "cam <script>alert(1)</script>"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Fleet]]:
    """A registry with 220 devices and a rollout whose candidate fails more often."""
    folder = tmp_path_factory.mktemp("fleet") / "registry"
    registry_init(folder, tracking="none", keys=False)
    with open_registry(folder) as opened:
        make_tables(opened.engine)
        opened.append(Event("promote", MODEL, OLD, "production", None, OLD, "the first one", who="ann"))
        devices = Fleet(opened.engine, devices=220)
        devices.names[7] = HOSTILE
        devices.report()
        rollout = start_rollout(opened.engine, MODEL, OLD, NEW, who="ann", now=devices.now, reason="fewer misses")
        devices.run(rollout, 2, errors=0.02)
        own = {"disk_free_bytes": 2 * 10**9, "temperature_celsius": 51.2}
        devices.report(silent=lambda name, _: name == "device-3", seconds=7 * 3600.0, own=lambda *_: own)
        yield folder, devices


@pytest.fixture
def at_that_time(registry: tuple[Path, Fleet], monkeypatch: pytest.MonkeyPatch) -> float:
    """The studio's clock stands where the simulated fleet's does."""
    monkeypatch.setattr(fleet.time, "time", lambda: registry[1].now)
    return registry[1].now


@pytest.fixture
def client(registry: tuple[Path, Fleet], at_that_time: float, tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "data").mkdir()
    with open_studio(StudioOptions(tmp_path / "data", registry=registry[0])) as studio:
        yield TestClient(make_app(studio), base_url="http://127.0.0.1:8080")


def test_without_a_registry_the_page_says_how_and_its_upper_part_is_not_found(tmp_path: Path) -> None:
    with open_studio(StudioOptions(tmp_path, registry=tmp_path / "none")) as studio:
        opened = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        assert "registry init" in opened.get("/fleet").text
        answer = opened.get("/fleet/state")
        assert answer.status_code == 404, answer.text
        assert "registry init" in answer.text


def test_devices_rollout_and_history(client: TestClient) -> None:
    page = client.get("/fleet").text
    assert "<strong>220</strong> devices" in page
    assert "1 silent for more than 6 h" in page
    assert f"{MODEL}: {OLD} to {NEW}" in page
    assert "evidence" in page
    assert 'class="threshold"' in page
    assert "fewer misses" in page
    assert "the first one" in page
    assert "ann" in page
    assert "2.0 GB" in page
    assert "51 °C" in page
    assert "<script>alert" not in page


def test_predictions_of_the_last_day_count_those_before_the_rollout(registry: tuple[Path, Fleet]) -> None:
    with open_registry(registry[0], read_only=True) as opened:
        rows, _ = fleet.read_devices(opened, "device-0", now=registry[1].now)
        later, _ = fleet.read_devices(opened, "device-0", now=registry[1].now + 30 * 3600.0)
    assert [row.predictions for row in rows] == [400]
    assert [row.predictions for row in later] == [0]


def test_pages_of_devices_cover_the_fleet_once(client: TestClient) -> None:
    names: list[str] = []
    after = ""
    for _ in range(4):
        page = client.get("/fleet", params={"after": after}).text
        rows = page.split("<tbody>")[-2].split("</tbody>")[0]
        found = [part.split("</th>")[0] for part in rows.split('<th scope="row">')[1:]]
        names += found
        if 'rel="next"' not in page:
            break
        after = found[-1]
    assert len(names) == len(set(names)) == 220


@pytest.mark.parametrize(
    ("query", "count"), [({"kind": "silent"}, 1), ({"q": "DEVICE-21"}, 11), ({"q": "%"}, 0), ({"kind": "warning"}, 0)]
)
def test_filters(client: TestClient, query: dict[str, str], count: int) -> None:
    page = client.get("/fleet", params=query).text
    assert page.split("<tbody>")[-2].count('<th scope="row">') == count


def test_what_is_not_allowed_is_said(client: TestClient) -> None:
    answer = client.get("/fleet", params={"kind": "x<y"}, headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert "kind" in answer.text


def test_evidence_is_drawn_on_the_scale_of_its_threshold() -> None:
    figures = {"ratio": 2.0, "ratio_low": 1.0, "ratio_high": 3.0, "devices": 4, "events": 3, "threshold": 100.0}
    made = evidence_bars([{"test": "errors", "e_value": e, **figures} for e in (0.0, 1.0, 10.0, 100.0, 1e9)])
    assert [bar.width for bar in made] == [0.0, 0.0, 50.0, 100.0, 100.0]
    assert [bar.halts for bar in made] == [False, False, False, True, True]


def test_without_a_registry_it_says_how_to_get_one(tmp_path: Path) -> None:
    with open_studio(StudioOptions(tmp_path, registry=tmp_path / "secret_place" / "none")) as studio:
        page = TestClient(make_app(studio), base_url="http://127.0.0.1:8080").get("/fleet").text
    assert "cliplab registry init --registry DIR" in page
    assert "--registry …" not in page
    assert "secret_place" not in page
    assert not (tmp_path / "secret_place").exists()


def test_a_registry_without_reports(tmp_path: Path) -> None:
    registry_init(tmp_path / "registry", tracking="none", keys=False)
    with open_studio(StudioOptions(tmp_path, registry=tmp_path / "registry")) as studio:
        page = TestClient(make_app(studio), base_url="http://127.0.0.1:8080").get("/fleet").text
    assert "No device has reported yet" in page


def test_devices_that_invent_versions_hide_nothing(tmp_path: Path) -> None:
    """More names than a statement may have values, each as long as it may be."""
    folder = tmp_path / "registry"
    invented = {f"{number:04d}{'<' * 196}": f"{number:04d}{'&' * 196}" for number in range(100)}
    registry_init(folder, tracking="none", keys=False)
    with open_registry(folder) as opened:
        make_tables(opened.engine)
        for first in range(0, 350, 50):
            names = {
                f"liar-{number}": {f"{number}{key}"[:200]: value for key, value in invented.items()}
                for number in range(first, first + 50)
            }
            store_reports(
                opened.engine,
                [read_report(name, {"sequence": 1, "versions": versions}) for name, versions in names.items()],
            )
        honest = {"sequence": 1, "versions": {MODEL: OLD}, "predictions": 17}
        store_reports(opened.engine, [read_report(f"honest-{number}", honest) for number in range(5)])
    with open_studio(StudioOptions(tmp_path, registry=folder)) as studio:
        client = TestClient(make_app(studio), base_url="http://127.0.0.1:8080")
        page = client.get("/fleet")
        assert page.status_code == 200
        assert f"{MODEL} {OLD} on 5" in page.text
        assert page.text.count('<td class="number">17</td>') == 5
        assert "and 92 more" in page.text
        assert len(page.content) < 2_000_000


def test_axe_finds_nothing(registry: tuple[Path, Fleet], at_that_time: float, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    with running_studio(tmp_path, registry=registry[0]) as (url, _), browser() as chromium:
        for scheme in ("dark", "light"):
            page: Any = chromium.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 720})
            page.goto(f"{url}/fleet")
            assert axe.run(page).response["violations"] == []
            assert page.locator("tbody tr").count() > 100


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_narrow_window(registry: tuple[Path, Fleet], tmp_path: Path, width: int) -> None:
    with browser() as window, running_studio(tmp_path, registry=registry[0]) as (url, _):
        page = window.new_page(viewport={"width": width, "height": 800})
        page.goto(f"{url}/fleet")
        page.wait_for_selector(".fleet-evidence tbody tr")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        card, table = (page.locator(name).first.bounding_box() for name in (".fleet-rollout", ".fleet-evidence"))
        assert table["x"] + table["width"] <= card["x"] + card["width"]
