"""`cliplab rollout` on a registry: what devices see, promotion in the end, and versions that were rolled back."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("alembic", reason="the registry needs its extra: pip install 'cliplab[registry]'")
pytest.importorskip("tuf", reason="the registry needs its extra: pip install 'cliplab[registry]'")

from fleets import Fleet
from registry_files import TRUSTED, make_registry
from typer.testing import CliRunner

from adapters.errors import ConfigError
from cliplab.cli.app import app
from cliplab.registry import open_registry, registry_history, registry_lineage, registry_promote, registry_rollback
from cliplab.rollout import (
    RolloutError,
    make_tables,
    rollout_halt,
    rollout_history,
    rollout_promote,
    rollout_start,
    rollout_status,
    watch_rollouts,
)

NAME = "base-general"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of three versions, the first in production."""
    folder = tmp_path_factory.mktemp("registry") / "r"
    make_registry(folder, "1.0.0", "1.1.0", "1.2.0", keys=False).close()
    return folder


def test_from_start_to_promotion_and_no_way_back_by_itself(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_REGISTRY", str(place))
    with pytest.raises(ConfigError, match="no version yet"):
        rollout_start(NAME, "1.1.0")
    registry_promote(NAME, "1.0.0", "production", trust_adapters=TRUSTED)
    assert not rollout_start(NAME, "1.1.0", dry_run=True).written
    assert rollout_status() == []
    begun = rollout_start(NAME, "1.1.0", stage_minutes=0, reason="better at night", who="ann")
    assert "no signing keys" in begun.notes[0]
    with open_registry(place) as opened:
        (seen,) = opened.rollouts()
        assert (seen["control"], seen["candidate"], seen["percent"], seen["state"]) == (
            "1.0.0",
            "1.1.0",
            1.0,
            "running",
        )
        make_tables(opened.engine)
        assert watch_rollouts(opened)[0].decision is None
    shown = CliRunner().invoke(app, ["rollout", "status", NAME])
    assert shown.exit_code == 0, shown.output
    assert "1.1.0 instead of 1.0.0" in shown.output
    promoted = rollout_promote(NAME, reason="urgent", who="ann", trust_adapters=TRUSTED)
    assert promoted.rollout.state == "done"
    with open_registry(place) as opened:
        current = opened.current(NAME, "production")
        assert current is not None
        assert (current.version, current.previous, current.who) == ("1.1.0", "1.0.0", "ann")
        assert opened.rollouts() == []
    assert [item.action for item in rollout_history(NAME)] == ["start", "promote"]
    # The registry's history of the model says who had what, also what a share of the devices had.
    lived = [
        (event.kind, event.from_version, event.to_version) for event in registry_history(NAME, environment="production")
    ]
    assert lived == [
        ("promote", None, "1.0.0"),
        ("rollouts", "1.0.0", "1.1.0"),
        ("promote", "1.0.0", "1.1.0"),
        ("rollouts", "1.0.0", "1.1.0"),
    ]
    shares = [event.reason for event in registry_history(NAME) if event.kind == "rollouts"]
    assert shares[0] == f"rollout {begun.rollout.id}: start, 1% of the devices"
    assert [event.kind for event in registry_lineage(f"{NAME}@1.1.0").events] == [
        "upload",
        "rollouts",
        "promote",
        "rollouts",
    ]
    registry_rollback(NAME, "production", reason="too many false alarms")
    with pytest.raises(RolloutError, match="too many false alarms"):
        rollout_start(NAME, "1.1.0")
    monkeypatch.setenv("CLIPLAB_USER", "berta")
    again = rollout_start(NAME, "1.1.0", force=True, reason="the camera was at fault")
    with open_registry(place) as opened:
        assert opened.history(kinds=("rollouts",), last=1)[0].who == "berta"
    halted = rollout_halt(again.rollout.id, reason="no")
    assert halted.rollout.state == "halted"
    refused = CliRunner().invoke(app, ["rollout", "start", "--model-id", NAME, "--version", "1.1.0"])
    assert refused.exit_code == 1


@pytest.mark.parametrize("someone_else", [False, True])
def test_a_server_promotes_by_itself_or_pauses_with_the_reason(place: Path, someone_else: bool) -> None:
    with open_registry(place) as opened:
        before = opened.current(NAME, "production")
        if before is None or before.version != "1.0.0":
            registry_promote(NAME, "1.0.0", "production", registry=place, trust_adapters=TRUSTED)
        fleet = Fleet(opened.engine, 40, model=NAME, versions=("1.0.0", "1.2.0"))
        begun = rollout_start(NAME, "1.2.0", registry=place, stages="50,100", stage_minutes=0, min_devices=3)
        if someone_else:
            registry_promote(NAME, "1.1.0", "production", registry=place, trust_adapters=TRUSTED)
        fleet.rollout, fleet.now = begun.rollout, begun.rollout.started
        for _ in range(8):
            fleet.report()
            (watched,) = watch_rollouts(opened, fleet.now, TRUSTED)
            fleet.rollout = watched.rollout
            if watched.rollout.state != "running":
                break
        assert watched.decision is not None
        current = opened.current(NAME, "production")
        assert current is not None
        if someone_else:
            assert (watched.rollout.state, current.version) == ("paused", "1.1.0")
            assert "now has base-general 1.1.0" in watched.decision.reason
            rollout_halt(begun.rollout.id, registry=place, reason="overtaken")
            rollout_start(NAME, "1.0.0", registry=place)  # the halted one does not hinder another
            rollout_halt(NAME, registry=place, reason="enough")
        else:
            assert (watched.rollout.state, current.version, current.who) == ("done", "1.2.0", "cliplab")
