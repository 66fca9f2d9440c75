"""Whether a result can be written is known before the work begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.errors import StorageError
from cliplab.outputs import require_new


def test_what_holds_nothing_may_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (None, tmp_path / "empty", str(tmp_path / "new.json"), tmp_path / "new" / "deeper" / "out"):
        require_new(path, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"], "nothing is made by the check"


def test_what_exists_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("a")
    for path in (tmp_path / "full", tmp_path / "full" / "a.txt"):
        with pytest.raises(StorageError, match=r"already exists; use --force .* or give a number"):
            require_new(path, force=False, otherwise="or give a number")
        require_new(path, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_place_below_a_file_is_none(tmp_path: Path, force: bool) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(StorageError, match=r"a\.txt is a file"):
        require_new(tmp_path / "a.txt" / "b" / "c.json", force)
