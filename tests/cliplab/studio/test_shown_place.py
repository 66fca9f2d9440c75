"""Paths as pages show them."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from cliplab.studio.context import shown_place


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("clips/a.mp4", "clips/a.mp4"),
        ("deep/er/than/this/a.mp4", "deep/er/than/this/a.mp4"),
        ("/home/anna/secret/footage/a.mp4", "…/footage/a.mp4"),
        ("/a.mp4", "/a.mp4"),
        ("", ""),
        ("/home/anna/films/\u202ea\n.mp4", "…/films/\\u202ea\\n.mp4"),
    ],
)
def test_folders_above_the_data_folder_stay_on_the_machine(path: str, shown: str) -> None:
    assert shown_place(path) == shown
