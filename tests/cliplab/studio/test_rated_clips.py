"""The clip database of a studio: in its folder, in another file, or on PostgreSQL, as a worker writes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from postgres_server import NEEDED, postgres, programs

from adapters.hosts.http_server.errors import RequestError
from cliplab.clips import ClipManager
from cliplab.studio.options import StudioOptions
from cliplab.studio.rated_clips import clips_of, why_no_clips


def studio(folder: Path, database: str | None = None) -> Any:
    return SimpleNamespace(options=StudioOptions(data_dir=folder, database=database))


def test_the_file_of_the_folder_is_the_default_and_no_request_makes_it(tmp_path: Path) -> None:
    assert "clips.db" in str(why_no_clips(studio(tmp_path)))
    with pytest.raises(RequestError, match=r"clips\.db"):
        clips_of(studio(tmp_path))
    assert list(tmp_path.iterdir()) == []
    ClipManager(tmp_path / "clips.db").register_clip(str(tmp_path / "a.mp4"), 0.0, 1.0, 0.5, "audio", {})
    assert why_no_clips(studio(tmp_path)) is None


def test_a_named_file_is_used_and_named(tmp_path: Path) -> None:
    media, place = tmp_path / "media", tmp_path / "rated.db"
    media.mkdir()
    assert "rated.db" in str(why_no_clips(studio(media, str(place))))
    ClipManager(place).register_clip(str(media / "a.mp4"), 0.0, 1.0, 0.5, "audio", {})
    assert len(clips_of(studio(media, str(place)))[0].list_clips()) == 1


@pytest.mark.skipif(programs() is None, reason=NEEDED)
def test_clips_that_a_worker_put_into_postgresql_are_there_to_rate(tmp_path: Path) -> None:
    with postgres() as url:
        assert "the database" in str(why_no_clips(studio(tmp_path, url)))
        with ClipManager(url) as manager:
            manager.register_clip(str(tmp_path / "a.mp4"), 0.0, 1.0, 0.5, "audio", {})
        manager, _ = clips_of(studio(tmp_path, url))
        assert [clip.filepath for clip in manager.list_clips()] == [str(tmp_path / "a.mp4")]
        manager.close()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_said_on_the_page(tmp_path: Path) -> None:
    reason = why_no_clips(studio(tmp_path, "postgresql://nobody:secret@127.0.0.1:9/none"))
    assert reason is not None
    assert "secret" not in reason
