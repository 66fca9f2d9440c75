"""Clips of composed streams with what a person would like of them, for ``bench_ratings.py --clips FILE``.

    python benchmarks/rated_clips.py MEDIA FILE [--streams 24] [--minutes 10] [--per-event 3] [--folder DIR]

The streams are those of bench_detect.py, composed, no broadcasts. Their best candidates, --per-event for each event,
are cut and entered in a clip database as ``generate`` does it, with scores, features and sources. How much a clip is
liked, on 1 to 7, follows what is in it: a trick that is cheered 6.5, a trick 5, a crowd or a shout alone 3.5, nothing
1.5. Streams that are in FILE already are kept. --folder keeps the streams, as in bench_detect.py.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_detect import OPTIONS, composed

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

LIKED = {"both": 6.5, "trick": 5.0, "crowd": 3.5}
NOTHING = 1.5


def clips_of_stream(
    media: Path, number: int, minutes: float, per_event: float, folder: Path | None
) -> list[dict[str, Any]]:
    """The clips of one stream."""
    from cliplab.clips import ClipManager
    from cliplab.detect import find_highlights, generate_clips

    with tempfile.TemporaryDirectory() as temporary:
        path, truth = composed(media, number, minutes, folder or Path(temporary))
        found = find_highlights(path, replace(OPTIONS, min_score=0.02, min_gap_seconds=12.0))
        best = found.ranked[: math.ceil(per_event * len(truth))]
        with ClipManager(Path(temporary) / "clips.db") as manager:
            generate_clips(found, Path(temporary) / "clips", database=manager, candidates=best)
            clips = [(one, one.features) for one in manager.list_clips(500)]
    rows = []
    for clip, features in clips:
        liked = [LIKED[kind] for moment, kind in truth if clip.start_time <= moment + 1.0 <= clip.end_time]
        values = {"kind": clip.clip_type, "score": clip.score, "liked": max(liked, default=NOTHING)}
        rows.append({"stream": number, **values, "features": dict(features)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--streams", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--per-event", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, help="where streams are kept for another run")
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.file.read_text().splitlines()] if given.file.exists() else []
    for number in sorted(set(range(given.streams)) - {row["stream"] for row in rows}):
        made = clips_of_stream(given.media, number, given.minutes, given.per_event, given.folder)
        with given.file.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in made)
        kinds = [row["kind"] for row in made]
        print(f"stream {number}: {len(made)} clips, {kinds.count('audio')} of sound", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
