"""The memory limit of the container that this process runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.system import memory_limit


@pytest.mark.parametrize(
    "texts, expected",
    [
        (("4294967296\n", None), 4 << 30),
        (("max\n", None), None),
        ((None, "2147483648"), 2 << 30),
        ((None, "9223372036854771712"), None),  # version 1 without a limit
        ((None, None), None),
        (("0", None), None),
        (("\u00b2", "x"), None),
    ],
)
def test_the_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: tuple[str | None, str | None], expected: int | None
) -> None:
    files = tuple(tmp_path / f"limit{number}" for number in range(2))
    for path, text in zip(files, texts, strict=True):
        if text is not None:
            path.write_text(text, encoding="utf-8")
    monkeypatch.setattr("adapters.system.container_memory.LIMIT_FILES", files)
    assert memory_limit() == expected
