"""Every Python block of the guide that the clip database was asked for in, as it is written there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("skops", reason="ratings need the clips extra: pip install 'cliplab[clips]'")
pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")


def test_the_blocks_of_the_guide_run(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas", reason="one block of the guide uses pandas: pip install pandas")
    (guide,) = (shared / "seeds").glob("003_*.txt")
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"determine_rating": lambda clip: 1 + clip.id % 5}
    first, register, parameters, export, batch = blocks
    # In the guide's order the first block rates a clip that an earlier session registered.
    from clip_manager import ClipManager

    with ClipManager() as manager:
        for number in range(14):
            features = {"rms_mean": number / 14, "tempo": 120 + number}
            manager.register_clip(f"/path/{number}.mp4", number, number + 30.0, 0.5, "audio", features)
    for block in (first, register, batch, parameters, export):
        exec(compile(block, str(guide), "exec"), names)
    lines = (tmp_path / "training_data.csv").read_text().splitlines()
    assert lines[0].split(",") == ["rms_mean", "tempo", "rating"]
    assert len(lines) == 16
    assert names["stats"]["total_clips"] == 14  # type: ignore[index]
    assert names["success"] is False
    assert names["progress"]["ready_for_training"] is True  # type: ignore[index]
