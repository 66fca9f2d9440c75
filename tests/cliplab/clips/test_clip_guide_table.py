"""Every table, field, number, control and wish of the guide that the clip database was asked for in, against the code.

Each check takes its words from the guide itself, so that a word that is read wrongly here fails.
"""

from __future__ import annotations

import inspect
import json
import re
import sqlite3
from html import unescape
from pathlib import Path

import pytest
from command_line import cli

pytest.importorskip("sqlalchemy", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")
pytest.importorskip("alembic", reason="the clip database needs the clips extra: pip install 'cliplab[clips]'")

from cliplab.clips import DEFAULT_MODEL, STARS, ClipManager, RatingBasedTrainer, clips_list
from cliplab.clips.consensus import Rating, find_consensus
from cliplab.clips.learners import LEARNERS
from cliplab.clips.records import CLIP_TYPES, DEFAULT_DATABASE, MIN_SAMPLES, RETRAIN_EVERY
from cliplab.detect.highlights.generating import DEFAULT_OUTPUT

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / "cliplab" / "studio" / "templates"
# A sentence of the guide, and what holds here.
FACTS = [
    ("SQLite database (`clips.db`)", lambda: DEFAULT_DATABASE == "clips.db"),
    ("User ratings (1-5 stars)", lambda: list(STARS) == [1, 2, 3, 4, 5]),
    ("Model retrains every 5 new ratings", lambda: RETRAIN_EVERY == 5),
    ("Triggers every 5 new ratings", lambda: RETRAIN_EVERY == 5),
    ("Requires 10 rated clips to begin training", lambda: MIN_SAMPLES == 10),
    ("Minimum 10 rated clips", lambda: MIN_SAMPLES == 10),
    ("-- 'audio' or 'video'", lambda: CLIP_TYPES == ("audio", "video")),
    ("Separate models for audio and video", lambda: CLIP_TYPES == ("audio", "video")),
    ("Location: `models/highlight_model.pkl`", lambda: DEFAULT_MODEL.as_posix() == "models/highlight_model.skops"),
    ("created in `output_clips/`", lambda: DEFAULT_OUTPUT.as_posix() == "output_clips"),
    (
        "gallery to 50 most recent",
        lambda: _default(clips_list, "limit") == 50 == _default(ClipManager.list_clips, "limit"),
    ),
    ("Ratings are normalized to 0-1 scale", lambda: _learned_from_stars()),
    ("Gradient Boosting models learn", lambda: "gradient_boosting" in LEARNERS),
    ("features TEXT NOT NULL,   -- JSON string", lambda: _stored_features() == {"tempo": 120.0}),
    ("limit=50", lambda: _default(ClipManager.get_clips_for_review, "limit") == 50),
    ("min_samples=10", lambda: _default(RatingBasedTrainer.train_from_ratings, "min_samples") == 10),
]
CONTROLS = {
    "generate.html": ("Analyze Stream", "Generate Clips"),
    "rate.html": ("Load Clips for Rating", "Submit Rating", "Train Model Now"),
    "browse.html": ("Refresh Gallery", "Download"),
}
WISHES = {
    "Multi-user rating support": ("clips rate", "--rater"),
    "Rating confidence scores": ("clips rate", "--confidence"),
    "Clip tagging and categorization": ("clips tag", "--remove"),
    "Export/import rating datasets": ("clips import", "FILE"),
    "A/B testing of model versions": ("clips ab-start", "MODEL"),
    "Real-time model performance metrics": ("clips ab-status", "share of 4 and 5 stars"),
}


@pytest.fixture(scope="module")
def guide(shared: Path) -> str:
    (path,) = (shared / "seeds").glob("003_*.txt")
    return path.read_text(encoding="utf-8")


def _default(function: object, name: str) -> object:
    return inspect.signature(function).parameters[name].default  # type: ignore[arg-type]


def _learned_from_stars() -> bool:
    """One to five stars become targets that rise within 0..1."""
    found = find_consensus(5, [Rating(place, "ann", place + 1) for place in range(5)], []).quality.tolist()
    return 0 <= found[0] < 0.5 < found[4] <= 1 and found == sorted(found)


def _stored_features() -> object:
    """What a script reads from the column of a registered clip."""
    with ClipManager(":memory:") as manager:
        manager.register_clip("a.mp4", 0, 1, 0.5, "audio", {"tempo": 120.0})
        with manager.database.reading() as connection:
            return json.loads(connection.exec_driver_sql("SELECT features FROM clips").scalar_one())


@pytest.mark.parametrize(("sentence", "holds"), FACTS, ids=[sentence for sentence, _ in FACTS])
def test_numbers_and_places(guide: str, sentence: str, holds) -> None:
    assert sentence in guide
    assert holds()


def test_the_words_of_the_stars(guide: str) -> None:
    said = re.findall(r"^- ⭐+ (\d) - (.+)$", guide, re.MULTILINE)
    words = {int(number): word.removesuffix(" highlight") for number, word in said}
    assert words == STARS


def test_the_table_is_that_of_the_guide(guide: str, tmp_path: Path) -> None:
    (statement,) = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)
    theirs = sqlite3.connect(":memory:")
    theirs.execute(statement)
    ClipManager(tmp_path / "clips.db").close()
    ours = sqlite3.connect(tmp_path / "clips.db")

    def columns(connection: sqlite3.Connection) -> list[tuple[str, bool, bool]]:
        rows = connection.execute("PRAGMA table_info(clips)").fetchall()
        return [(name, bool(required), bool(key)) for _, name, _, required, _, key in rows]

    def kinds(connection: sqlite3.Connection) -> dict[str, str]:
        """What SQLite makes of the type's name: its affinity decides how a value is stored."""
        found = {name: kind for _, name, kind, *_ in connection.execute("PRAGMA table_info(clips)").fetchall()}
        return {name: "REAL" if kind in ("REAL", "FLOAT", "DOUBLE PRECISION") else kind for name, kind in found.items()}

    assert [name for name, *_ in columns(ours)] == [name for name, *_ in columns(theirs)]
    assert [row[1] for row in columns(ours)[1:]] == [row[1] for row in columns(theirs)[1:]]
    assert columns(ours)[0][2]
    assert kinds(ours) == kinds(theirs)


@pytest.mark.parametrize("page", CONTROLS)
def test_the_controls_have_their_names(guide: str, page: str) -> None:
    shown = unescape((TEMPLATES / page).read_text(encoding="utf-8"))
    for name in CONTROLS[page]:
        assert f'"{name}"' in guide
        assert re.search(rf">\s*{name}\b", shown), f"{page} has no {name}"


def test_every_quoted_control_of_the_guide_is_looked_for(guide: str) -> None:
    known = {name for names in CONTROLS.values() for name in names}
    tabs = {"Generate Clips"}
    assert set(re.findall(r'"([A-Z][A-Za-z& ]+)"', guide)) - tabs <= known


@pytest.mark.parametrize("wish", WISHES)
def test_every_future_enhancement_is_here(guide: str, wish: str) -> None:
    command, word = WISHES[wish]
    assert f"- {wish}" in guide
    shown = cli(*command.split(), "--help").stdout
    assert word in shown


def test_no_future_enhancement_is_left_out(guide: str) -> None:
    (part,) = re.findall(r"## Future Enhancements\n(.*?)\n## ", guide, re.DOTALL)
    assert set(re.findall(r"^- (.+)$", part, re.MULTILINE)) == set(WISHES)


def test_its_troubles_have_answers(guide: str) -> None:
    (part,) = re.findall(r"## Troubleshooting\n(.*?)\n## ", guide, re.DOTALL)
    answers = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").lower()
    ours = {
        "No Clips Available for Rating": "### no clips available for rating",
        "Model Not Training": "### the rating model is not training",
        "Database Errors": "### database errors",
        "Gallery Not Showing Clips": "### the gallery shows no clips",
    }
    assert set(re.findall(r"^### (.+)$", part, re.MULTILINE)) == set(ours)
    assert all(heading in answers for heading in ours.values())
    pointers = (ROOT / "TROUBLESHOOTING.md").read_text(encoding="utf-8").lower()
    assert all(f"#{heading.removeprefix('### ').replace(' ', '-')}" in pointers for heading in ours.values())


def test_its_rating_guidelines_and_tips_are_on_the_guides_page(guide: str) -> None:
    page = (ROOT / "docs" / "guides" / "clips.md").read_text(encoding="utf-8")
    rules = {
        "Be consistent": "same criteria for all clips",
        "Consider context": "for your use",
        "Rate honestly": "poor clips teach as much as excellent ones",
        "Rate variety": "Rate across sources",
        "Start with 10+ ratings": "Begin with ten ratings",
        "Rate regularly": "Rate a few clips regularly",
        "Review statistics": "Look at the distribution",
        "Retrain periodically": 'press "Train Model Now"',
        "Backup regularly": "clips backup",
        "Clean up": "clips cleanup",
        "Export data": "clips export",
    }
    said = re.findall(r"^\d\. \*\*(.+?)\*\*: ", guide, re.MULTILINE)
    how = {"Feature Extraction", "User Ratings", "Normalization", "Training", "Improvement"}
    performance = {"Database size", "Gallery loading", "Training frequency", "Feature storage"}
    assert set(said) == set(rules) | how | performance
    missing = [rule for rule, words in rules.items() if words not in page]
    assert not missing
