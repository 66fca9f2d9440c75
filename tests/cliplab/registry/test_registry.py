"""The registry: names, versions that are checked, uploads, promotions, history; on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("alembic", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

import postgres_server
from registry_files import TRUSTED, make_registry, upload, use_registry
from tflite_adapter import make_tflite

from adapters.errors import BundleError, ConfigError, StorageError
from cliplab.registry import (
    ConflictError,
    Event,
    PromotionRefusedError,
    Registry,
    open_registry,
    registry_compare,
    registry_download,
    registry_history,
    registry_init,
    registry_lineage,
    registry_list,
    registry_promote,
    registry_rollback,
    registry_show,
    registry_upload,
)
from cliplab.registry.location import NO_TRACKING, Settings
from cliplab.registry.names import ModelName, parse_name
from cliplab.registry.opening import make_settings, name_folder
from cliplab.rollout.serving import registry_device_add

NAME = "base-general"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of a server; None for SQLite."""
    if request.param == "sqlite":
        yield None
        return
    if postgres_server.programs() is None:
        pytest.skip(postgres_server.NEEDED)
    with postgres_server.postgres() as url:
        yield url


@pytest.fixture
def place(server: str | None, tmp_path: Path) -> Iterator[str]:
    """Where an empty registry is: its folder, or the URL of a database of its own."""
    folder = tmp_path / "registry"
    if server is None:
        make_settings(folder, Settings(tracking=NO_TRACKING))
        yield str(folder)
        return
    url = postgres_server.new_database(server)
    make_settings(folder, Settings(database=url, tracking=NO_TRACKING))
    with open_registry(folder) as opened:
        name_folder(opened.database, folder, opened.settings)
    yield url


def put(place: str, tmp_path: Path, version: str, name: str = NAME, label: str = "warm", **config: object) -> None:
    contrast = round(0.1 + sum(int(x) * 10**-i for i, x in enumerate(version.split("."), 2)), 6)
    options = {key: config.pop(key) for key in ("metrics", "figures", "parent", "data") if key in config}
    model = make_tflite(tmp_path / f"{name}-{version}.tflite", label, contrast=contrast, **config)
    registry_upload(model, name, version, registry=place, trust_adapters=TRUSTED, **options)  # type: ignore[arg-type]


def test_versions_are_kept_promoted_and_rolled_back_with_their_history(place: str, tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0", "1.1.1"):
        put(place, tmp_path, version)
    for version in ("1.0.0", "1.1.0", "1.1.1"):
        registry_promote(NAME, version, "production", registry=place, reason="better", trust_adapters=TRUSTED)
    back = registry_rollback(NAME, "production", registry=place, reason="too many false alarms", who="Ann")
    assert (back.version, back.previous) == ("1.1.0", "1.1.1")
    again = registry_rollback(NAME, "production", registry=place)
    assert again.version == "1.0.0", "what was rolled back does not return"
    with pytest.raises(ConfigError, match=r"no version of base-general before 1\.0\.0"):
        registry_rollback(NAME, "production", registry=place)
    listed = registry_list(registry=place)
    assert [(item.version.version, item.environments) for item in listed] == [
        ("1.0.0", ("production",)),
        ("1.1.0", ()),
        ("1.1.1", ()),
    ]
    events = registry_history(NAME, environment="production", registry=place)
    assert [(e.kind, e.from_version, e.to_version) for e in events] == [
        ("promote", None, "1.0.0"),
        ("promote", "1.0.0", "1.1.0"),
        ("promote", "1.1.0", "1.1.1"),
        ("rollback", "1.1.1", "1.1.0"),
        ("rollback", "1.1.0", "1.0.0"),
    ]
    assert (events[3].who, events[3].reason) == ("Ann", "too many false alarms")
    assert [event.sequence for event in registry_history(registry=place)] == list(range(1, 9))


def test_it_is_alike_on_sqlite_and_postgres(place: str, tmp_path: Path) -> None:
    use_registry(place, tmp_path)


def test_a_version_that_exists_is_refused_and_nothing_changes(place: str, tmp_path: Path) -> None:
    put(place, tmp_path, "1.0.0")
    before = registry_show(f"{NAME}@1.0.0", registry=place).version
    with pytest.raises(ConflictError, match=r"base-general-v1.0.0 already exists: uploaded by"):
        put(place, tmp_path, "1.0.0", n_frames=3)
    assert registry_show(f"{NAME}@1.0.0", registry=place).version == before


@pytest.mark.parametrize("what", ["upload", "promote"])
def test_of_two_at_one_time_one_wins_and_the_other_names_it(place: str, tmp_path: Path, what: str) -> None:
    put(place, tmp_path, "1.0.0")
    put(place, tmp_path, "1.1.0")
    opened = [open_registry(place) for _ in range(4)]
    barrier, won, lost = threading.Barrier(4), [], []

    def act(number: int) -> None:
        version, who = f"1.{number % 2}.0", f"person {number}"
        event = Event("promote", NAME, version, "production", None, version, who=who)
        if what == "upload":
            event = Event("upload", NAME, "2.0.0", who=who)
        barrier.wait()
        try:
            opened[number].append(event, expected=0)
            won.append(who)
        except ConflictError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=act, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for item in opened:
        item.close()
    if what == "upload":
        return
    assert len(won) == 1
    assert len(lost) == 3
    assert all(won[0] in text for text in lost)


def test_the_history_cannot_be_changed(place: str, tmp_path: Path) -> None:
    put(place, tmp_path, "1.0.0")
    with open_registry(place) as opened:
        for statement in ("UPDATE registry_events SET who = 'X'", "DELETE FROM registry_events"):
            with pytest.raises(StorageError, match="append-only"), opened.writing() as connection:
                connection.exec_driver_sql(statement)
        assert opened.check() == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"imgz": 48}, "input size changed from 32x32 to 48x48"),
        ({"label": "hot"}, "labels changed"),
        ({"label": "hot", "imgz": 48}, "input size changed.*labels changed"),
    ],
)
def test_what_breaks_users_needs_a_new_major_version(tmp_path: Path, change: dict[str, object], said: str) -> None:
    make_registry(tmp_path / "r", "1.0.0").close()
    with pytest.raises(ConfigError, match=said):
        put(str(tmp_path / "r"), tmp_path, "1.1.0", **change)  # type: ignore[arg-type]
    put(str(tmp_path / "r"), tmp_path, "2.0.0", **change)  # type: ignore[arg-type]
    kept = registry_show(f"{NAME}@2.0.0", registry=tmp_path / "r").version.change
    assert (kept["kind"], kept["from"]) == ("major", "1.0.0")
    assert kept["interface"]


def test_a_new_number_is_the_last_of_its_line(tmp_path: Path) -> None:
    make_registry(tmp_path / "r", "1.0.0", "1.2.0").close()
    for version, following in (("1.1.0", "1.3.0"), ("0.9.0", "2.0.0")):
        with pytest.raises(ConfigError, match=f"the next one here is {following}"):
            upload(tmp_path / "r", NAME, version)
    upload(tmp_path / "r", NAME, "1.0.1")  # a fix of an older line


def test_the_next_number_is_named_by_a_word(tmp_path: Path) -> None:
    make_registry(tmp_path / "r").close()
    for number, (word, version) in enumerate(
        (("minor", "1.0.0"), ("minor", "1.1.0"), ("patch", "1.1.1"), ("major", "2.0.0"))
    ):
        model = make_tflite(tmp_path / "m.tflite", contrast=0.1 + number / 100)
        report = registry_upload(model, NAME, word, registry=tmp_path / "r", trust_adapters=TRUSTED)
        assert report.version.version == version
        assert any("a minor version would be enough" in note for note in report.notes) == (word == "major")
    report = registry_promote(f"{NAME}@latest", registry=tmp_path / "r", trust_adapters=TRUSTED)
    assert report.version == "2.0.0"


@pytest.mark.parametrize(
    "name",
    ["", "Base-general", "base_general", "../../etc", "base-", "-a", "base--x", "a" * 101, "base-general-v1", "bäse-x",
     "base-x\n", "environments", "base-general-v1-0-0", "base/../x", "base-x\x00"],
)  # fmt: skip
def test_names_that_break_the_rule_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="TYPE-VARIANT"):
        registry_upload("m.tflite", name, "1.0.0", registry=tmp_path)


def test_names_are_divided_into_type_and_variant() -> None:
    for name, parts in (
        ("base-ad-detector", ("base", "ad-detector")),
        ("show-specific-friends", ("show-specific", "friends")),
        ("temporal", ("temporal", "")),
        ("drone-race", ("drone", "race")),
    ):
        assert parse_name(name) == ModelName(*parts)


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0-rc1", "1.0.0\n", "", "1.0.9999999999"])
def test_versions_of_another_form_are_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(ConfigError, match=r"such as 1\.2\.3"):
        registry_upload("m.tflite", NAME, version, registry=tmp_path)


def evaluation(tmp_path: Path, precision: float, label: str = "warm") -> Path:
    path = tmp_path / "evaluation.json"
    content = {
        "task": "single_label", "labels": [f"not {label}", label], "positive_label": label, "average": "positive",
        "clips": 40, "threshold": None, "precision": precision, "recall": 0.9, "f1": 0.9, "accuracy": 0.9,
        "average_precision": None, "roc_auc": None, "log_loss": 0.2, "calibration_error": 0.05,
        "confusion_matrix": [[18, 2], [2, 18]], "per_class": [], "intervals": {"accuracy": [0.8, 0.97]},
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_promotion_asks_the_gates_and_force_keeps_its_reason(tmp_path: Path) -> None:
    place = str(tmp_path / "r")
    make_registry(tmp_path / "r").close()
    put(place, tmp_path, "1.0.0", gates={"min_precision": 0.95}, metrics=evaluation(tmp_path, 0.9))
    with pytest.raises(PromotionRefusedError, match=r"precision 0.9 is below min_precision 0.95"):
        registry_promote(NAME, "1.0.0", "staging", registry=place, trust_adapters=TRUSTED)
    with pytest.raises(ConfigError, match="needs a reason"):
        registry_promote(NAME, "1.0.0", "staging", registry=place, trust_adapters=TRUSTED, force=True)
    assert not registry_history(environment="staging", registry=place)
    report = registry_promote(
        f"{NAME}@1.0.0", registry=place, trust_adapters=TRUSTED, force=True, reason="demo on Friday"
    )
    assert report.forced
    kept = registry_history(environment="staging", registry=place)[0]
    assert kept.reason == "demo on Friday"
    assert kept.details["forced"]
    assert [check["passed"] for check in kept.details["checks"]] == [True, False]
    put(place, tmp_path, "1.0.1", gates={"min_precision": 0.95}, metrics=evaluation(tmp_path, 0.97))
    report = registry_promote(NAME, "1.0.1", "staging", registry=place, trust_adapters=TRUSTED)
    assert not report.forced
    assert report.metrics["precision"]["difference"] == pytest.approx(0.07)
    compared = registry_compare(f"{NAME}@1.0.0", f"{NAME}-v1.0.1", registry=place)
    assert compared.clips == (40, 40)
    assert any("may be chance" in note for note in compared.notes)


def test_an_evaluation_of_another_model_and_figures_that_are_none_are_refused(tmp_path: Path) -> None:
    place = str(tmp_path / "r")
    make_registry(tmp_path / "r").close()
    with pytest.raises(ConfigError, match="is for a model with the labels"):
        put(place, tmp_path, "1.0.0", metrics=evaluation(tmp_path, 0.9, "hot"))
    half = json.loads(evaluation(tmp_path, 0.9).read_text())
    (tmp_path / "half.json").write_text(json.dumps({**half, "per_class": [{"f1": 1}]}))
    with pytest.raises(ConfigError, match="is not a report that this version can read"):
        put(place, tmp_path, "1.0.0", metrics=tmp_path / "half.json")
    (tmp_path / "nan.json").write_text('{"f1": NaN}')
    with pytest.raises(ConfigError, match=r"nan\.json"):
        put(place, tmp_path, "1.0.0", metrics=tmp_path / "nan.json")
    assert not registry_list(registry=place)


def test_of_given_figures_the_finite_numbers_are_kept(place: str, tmp_path: Path) -> None:
    given = {"precision": 0.9, "clips": 7, "f1": float("nan"), "lift": float("inf"), "good": True, "note": "fine"}
    put(place, tmp_path, "1.0.0", figures=given)
    stored = registry_show(NAME, registry=place).version
    assert (stored.metrics, stored.evaluation) == ({"precision": 0.9, "clips": 7}, None)
    (tmp_path / "metrics.json").write_text('{"f1": 0.5}')
    with pytest.raises(ConfigError, match="Give only one of them"):
        put(place, tmp_path, "1.1.0", figures=given, metrics=tmp_path / "metrics.json")


def test_a_file_that_changed_in_the_registry_is_not_handed_out_or_promoted(tmp_path: Path) -> None:
    with make_registry(tmp_path / "r", "1.0.0") as registry:
        path = registry.artifact(NAME, "1.0.0")
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(BundleError, match="differs from the file uploaded"):
            registry_download(NAME, tmp_path / "out.tflite", registry=tmp_path / "r")
        with pytest.raises(PromotionRefusedError, match="differs from the file uploaded"):
            registry_promote(NAME, "1.0.0", "staging", registry=tmp_path / "r", trust_adapters=TRUSTED)
    assert not (tmp_path / "out.tflite").exists()


def test_download_writes_the_model_and_replaces_nothing(tmp_path: Path) -> None:
    make_registry(tmp_path / "r", "1.0.0").close()
    target = registry_download(f"{NAME}-v1.0.0", tmp_path / "model.tflite", registry=tmp_path / "r")
    stored = registry_show(NAME, registry=tmp_path / "r").version
    assert target.stat().st_size == stored.size_bytes
    with pytest.raises(StorageError, match="already exists"):
        registry_download(NAME, target, registry=tmp_path / "r")
    registry_download(NAME, target, registry=tmp_path / "r", force=True)


def test_lineage_names_what_a_version_was_trained_from_and_where_it_was(tmp_path: Path) -> None:
    place = str(tmp_path / "r")
    make_registry(tmp_path / "r", "1.0.0").close()
    data = tmp_path / "dataset.jsonl"
    data.write_text("{}")
    put(place, tmp_path, "1.0.0", name="sports-nfl", parent=f"{NAME}@1.0.0", data=data)
    put(place, tmp_path, "2.0.0", name="sports-nfl", parent="sports-nfl@1.0.0", label="hot")
    registry_promote("sports-nfl", "1.0.0", "staging", registry=place, trust_adapters=TRUSTED)
    found = registry_lineage("sports-nfl@2.0.0", registry=place)
    assert found.ancestors == ("sports-nfl-v1.0.0", "base-general-v1.0.0")
    assert found.before == "1.0.0"
    first = registry_lineage("sports-nfl@1.0.0", registry=place)
    assert first.descendants == ("sports-nfl-v2.0.0",)
    assert first.version.lineage["data"] == "dataset.jsonl"
    assert [event.kind for event in first.events] == ["upload", "promote"]
    with pytest.raises(ConfigError, match="is not a version"):
        put(place, tmp_path, "1.0.0", name="sports-nba", parent=NAME)


def test_what_is_missing_is_named_with_what_there_is(tmp_path: Path) -> None:
    make_registry(tmp_path / "r", "1.0.0").close()
    for reference, said in (
        ("base-genral", "the nearest is 'base-general'"),
        (f"{NAME}@2.0.0", r"Versions: 1\.0\.0"),
        (f"{NAME}@production", "production has no version"),
    ):
        with pytest.raises(ConfigError, match=said):
            registry_show(reference, registry=tmp_path / "r")
    with pytest.raises(ConfigError, match='Did you mean "production"'):
        registry_promote(NAME, "1.0.0", "prodction", registry=tmp_path / "r")
    with pytest.raises(StorageError, match="there is no registry"):
        registry_list(registry=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_locked_a_foreign_and_a_later_database_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cliplab import sql

    with make_registry(tmp_path / "r", "1.0.0") as registry, registry.writing():
        monkeypatch.setattr(sql, "_WAIT_SECONDS", 0.1)
        with open_registry(tmp_path / "r") as other, pytest.raises(StorageError, match="locked"):
            other.append(Event("note"))
    with open_registry(tmp_path / "r") as registry, registry.writing() as connection:
        connection.exec_driver_sql("UPDATE registry_version SET version_num = '9999'")
    with pytest.raises(StorageError, match=r"'9999'.*Update cliplab"):
        open_registry(tmp_path / "r")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").touch()
    with pytest.raises(StorageError, match=r"contains a\.jpg and is not a registry"):
        registry_init(folder)
    with pytest.raises(StorageError, match="there is no registry"):
        open_registry(folder)
    with pytest.raises(ConfigError, match="is for devices"):
        open_registry("http://127.0.0.1:1/")


def test_a_folder_that_was_moved_still_works(tmp_path: Path) -> None:
    make_registry(tmp_path / "r", "1.0.0").close()
    shutil.move(tmp_path / "r", tmp_path / "moved")
    with open_registry(tmp_path / "moved", read_only=True) as registry:
        assert registry.artifact(NAME, "1.0.0").is_file()


def test_what_a_killed_upload_left_is_removed_by_a_later_one(place: str, tmp_path: Path) -> None:
    put(place, tmp_path, "1.0.0")
    with open_registry(place) as registry:
        kept = registry.artifact(NAME, "1.0.0")
        if registry.settings.tracking != NO_TRACKING:
            pytest.skip("MLflow keeps unfinished runs itself")
        top = registry.folder / registry.settings.artifacts / NAME
    left, fresh = (top / "1.1.0" / digest / "model.tflite" for digest in ("0" * 16, "1" * 16))
    for path, age in ((left, 7200.0), (fresh, 0.0)):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    os.utime(kept, (time.time() - 7200.0,) * 2)
    put(place, tmp_path, "1.2.0")
    assert not left.exists()
    assert fresh.exists()
    assert kept.exists()


def test_a_registry_on_another_machine_is_opened_by_its_database(place: str, tmp_path: Path) -> None:
    if not place.startswith("postgresql"):
        pytest.skip("a database in the folder is on one machine")
    put(place, tmp_path, "1.0.0")
    folder = tmp_path / "registry"
    folder.rename(tmp_path / "gone")
    with pytest.raises(StorageError, match="on another machine"):
        open_registry(place)
    (tmp_path / "gone").rename(folder)
    with open_registry(place) as opened:
        name_folder(opened.database, folder, Settings(database=place, artifacts="s3://models/registry"))
    folder.rename(tmp_path / "gone")
    with open_registry(place) as opened:
        assert [item.version for item in opened.versions(NAME)] == ["1.0.0"]
        assert opened.settings.artifacts == "s3://models/registry"
        opened.append(Event("promote", NAME, "1.0.0", "staging", None, "1.0.0"), expected=0)
    assert not folder.exists()


def test_a_database_without_a_registry_is_named_and_left_empty(
    server: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server is None:
        pytest.skip("a registry in a folder is opened by its folder")
    import sqlalchemy as sa

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    url, other = (postgres_server.new_database(server) for _ in range(2))
    for act in (
        lambda: put(url, tmp_path, "1.0.0"),
        lambda: registry_list(registry=url),
        lambda: registry_rollback(NAME, "production", registry=url),
    ):
        with pytest.raises(
            StorageError, match=r"there is no registry\. Correct the path or URL.*cliplab registry init"
        ):
            act()
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
    assert not (tmp_path / "data").exists()
    begun = registry_init(url, tracking=NO_TRACKING, keys=False)
    put(url, tmp_path, "1.0.0")
    assert registry_init(url, keys=False).folder == begun.folder == str(tmp_path / "data/cliplab/registry")
    with pytest.raises(ConfigError, match="use another folder"):
        registry_init(other, keys=False)
    made = registry_init(tmp_path / "two", database=other, tracking=NO_TRACKING, keys=False)
    assert registry_init(other, keys=False).folder == made.folder == str(tmp_path / "two")
    with pytest.raises(ConfigError, match="differs from the URL of --registry"):
        registry_init(other, database=url)
    for _ in ("moved away", "the settings of a registry that several machines share"):
        (tmp_path / "two").rename(tmp_path / "gone")
        for place in (other, tmp_path / "three"):
            with pytest.raises(StorageError, match=r"has the registry of the folder .*two"):
                registry_init(place, database=other, keys=False)
        assert not (tmp_path / "three").exists()
        (tmp_path / "gone").rename(tmp_path / "two")
        with open_registry(other) as opened:
            name_folder(opened.database, tmp_path / "two", Settings(other, artifacts="s3://models/registry"))
    (tmp_path / "two").rename(tmp_path / "gone")
    with open_registry(other) as opened:
        assert not opened.is_here
    with pytest.raises(StorageError, match="tokens of its devices are kept in its folder, on another machine"):
        registry_device_add("kitchen", other)


def test_a_row_that_was_changed_behind_the_back_shows(tmp_path: Path) -> None:
    with make_registry(tmp_path / "r", "1.0.0", "1.0.1") as registry, registry.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER registry_events_no_update")
        connection.exec_driver_sql("UPDATE registry_events SET who = 'X' WHERE sequence = 1")
    with pytest.raises(StorageError, match="event 1 was changed"):
        registry_history(registry=tmp_path / "r")


def test_read_only_changes_nothing(tmp_path: Path) -> None:
    make_registry(tmp_path / "r", "1.0.0").close()
    with open_registry(tmp_path / "r", read_only=True) as registry, pytest.raises(StorageError, match="for reading"):
        registry.append(Event("note"))
    assert isinstance(registry, Registry)
