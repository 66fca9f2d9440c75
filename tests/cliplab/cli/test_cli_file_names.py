"""Names of files on the command line: one that begins with a dash, one in another normal form, and URLs."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.errors import MediaError
from adapters.media import probe
from cliplab.cli.app import app
from cliplab.library.arguments import find_videos


def output_of(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "m", "-clip.mp4"),
        ("dataset", "stats", "-labels.json"),
        ("scan", "-folder", "m"),
        ("reel", "--x.mp4"),
    ],
)
def test_a_name_that_begins_with_a_dash_gets_the_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-folder").mkdir()
    code, text = output_of(*arguments)
    name = next(argument for argument in arguments if argument.startswith("-"))
    assert code == 2
    assert f"-- {name}" in text


def test_a_wrong_option_gets_no_hint() -> None:
    code, text = output_of("dataset", "stats", "--jsn", "x.json")
    assert code == 2
    assert "name of a file" not in text


def test_a_name_after_two_dashes_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-d.csv").write_text("path,label\na.mp4,x\n")
    assert "two classes" in output_of("dataset", "stats", "--", "-d.csv")[1]


def test_arguments_in_another_normal_form_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    on_disk, written = (unicodedata.normalize(form, "é.csv") for form in ("NFC", "NFD"))
    Path(on_disk).write_text("path,label\na.mp4,x\n")
    assert "two classes" in output_of("dataset", "stats", written)[1]
    assert find_videos([written, "gone é.mp4"]) == [on_disk, "gone é.mp4"]


def test_urls_are_called_urls(tmp_path: Path) -> None:
    for address in ("https://example.org/a.mp4", Path("https://example.org/a.mp4")):
        with pytest.raises(MediaError, match="URL"):
            probe(address)
    for arguments in (("stats",), ("import",), ("split",)):
        more = (str(tmp_path / "out"),) if arguments != ("stats",) else ()
        code, text = output_of("dataset", *arguments, "https://example.org/labels.json", *more)
        assert code == 1
        assert "is a URL" in text
