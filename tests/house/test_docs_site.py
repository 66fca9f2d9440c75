"""The documentation's site: every page has a place, every picture a script, every error an entry."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import Any

import yaml
from places import ROOT

from adapters import errors
from adapters.data.formats.foreign_rows import NoClipsError
from cliplab.cli.console import troubleshooting
from cliplab.rollout.record import RolloutError

DOCS = ROOT / "docs"
PACKAGES = ("adapters", "cliplab", "movinet_adapter")
# Pages that scripts/docs_site.py takes from elsewhere in the project.
OUTSIDE = {"index.md", "changelog.md", "contributing.md", "SECURITY.md", "benchmarks/results.md", "samples/NOTICE.md"}
# What makes each picture of docs/images.
PICTURES = {
    "architecture.svg": "scripts/architecture_picture.py",
    "comparison.png": "cliplab/models/comparison_report.py (cliplab compare, docs/choosing.md)",
    "demo_timeline.png": "cliplab/demo/figure.py (make demo)",
    "explain.png": "cliplab/models/explanation.py (cliplab explain, docs/explain.md)",
    "labelling_order.png": "benchmarks/bench_active_choice.py",
    "ratings_curve.png": "benchmarks/bench_ratings.py",
    "rollout_power.png": "benchmarks/bench_rollout.py",
    **dict.fromkeys(
        ("studio_fleet.jpg", "studio_grid.jpg", "studio_intervals.jpg", "studio_keys.jpg", "studio_label.jpg"),
        "scripts/studio_pictures.py",
    ),
    **dict.fromkeys(
        ("studio_browse.jpg", "studio_compare.jpg", "studio_generate.jpg", "studio_rate.jpg"),
        "scripts/studio_clip_pictures.py",
    ),
    **dict.fromkeys(
        (
            "models_edit_wrong.png",
            "models_list.png",
            "models_one.png",
            "models_training.png",
            "models_tried.png",
            "studio_annotators.png",
            "studio_review.png",
        ),
        "scripts/studio_work_pictures.py",
    ),
}
TROUBLE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


def settings() -> Any:
    """mkdocs.yml, which holds no tags of its own."""
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def entries(nav: Any) -> Iterator[str]:
    """The pages of a navigation, in order."""
    for item in nav:
        for value in item.values() if isinstance(item, dict) else [item]:
            if isinstance(value, str):
                yield value
            else:
                yield from entries(value)


def test_each_page_is_in_the_navigation_once_and_search_is_on() -> None:
    listed = list(entries(settings()["nav"]))
    assert sorted(set(listed)) == sorted(listed)
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages - set(listed) == set(), "pages that no reader finds"
    assert set(listed) - pages == OUTSIDE
    assert settings()["plugins"][:2] == ["search", "offline"]  # also in a site that is read from the disk
    (polyfill,) = settings()["extra"]["polyfills"]
    assert "iframe-worker" in polyfill  # the word by which the plugin knows it, and loads none from elsewhere
    assert (DOCS / polyfill).is_file()


def test_each_page_is_linked_from_another() -> None:
    """A search or a menu is not the only way to it."""
    targets = set()
    for page in [ROOT / "README.md", ROOT / "TROUBLESHOOTING.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            if path != page:
                targets.add(path)
    missing = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path not in targets}
    assert {name for name in missing if not name.startswith("api/")} == set()


def test_the_anchors_of_the_short_page_are_headings() -> None:
    """mkdocs checks those of the site; TROUBLESHOOTING.md is not a page of it."""
    titles = re.findall(r"^#+ (.*)$", TROUBLE, re.M)
    anchors = {re.sub(r"[ -]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}
    text = (ROOT / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
    found = re.findall(r"docs/troubleshooting\.md#([^)]+)", text)
    assert found
    assert set(found) <= anchors


def test_each_picture_is_on_a_page_and_comes_from_a_script() -> None:
    pages = [ROOT / "README.md", *DOCS.rglob("*.md")]
    said = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    pictures = {path.name for path in (DOCS / "images").iterdir()}
    assert {name for name in pictures if name not in said} == set()
    assert pictures == set(PICTURES), "a picture that no script makes grows old unnoticed"
    for source in PICTURES.values():
        assert (ROOT / source.split()[0]).is_file(), source


def test_each_message_in_the_tables_is_one_that_the_program_writes() -> None:
    """The words in backticks, between the dots that stand for names and numbers, are in the code's texts."""
    texts = []
    for node in nodes():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
        elif isinstance(node, ast.JoinedStr):  # without its values
            texts.append("\0".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)))
    said = "\n".join(texts)
    rows = [line.rsplit("|", 2)[0] for line in TROUBLE.splitlines() if line.startswith("|")]
    found = [text for row in rows for text in re.findall("`([^`]+)`", row) if not re.fullmatch(r"\w+Error", text)]
    parts = [part.strip() for text in found for part in text.split("…")]
    assert len(parts) > 40
    assert [part for part in parts if part not in said] == []


@functools.lru_cache
def nodes() -> list[ast.AST]:
    """Everything in the source code, parsed once."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def error_classes() -> Iterator[str]:
    """The names of all classes below AdapterError that readers may meet."""
    parents = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for node in nodes()
        if isinstance(node, ast.ClassDef)
    }

    def is_error(name: str) -> bool:
        return name == "AdapterError" or any(is_error(base) for base in parents.get(name, ()))

    return (name for name in sorted(parents) if is_error(name) and not name.startswith("_"))


def test_each_class_of_errors_has_an_entry() -> None:
    names = list(error_classes())
    assert len(names) > 20
    assert [name for name in names if not re.search(rf"\b{name}\b", TROUBLE)] == []


def test_an_error_leads_to_a_section_that_exists() -> None:
    sections = {f"docs/troubleshooting.md#{title.lower()}" for title in re.findall(r"^### (\w+)$", TROUBLE, re.M)}
    assert "## By message" in TROUBLE
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.AdapterError) and kind is not errors.AdapterError:
            assert troubleshooting(kind.__new__(kind)) in sections, name
    assert troubleshooting(NoClipsError("x")) == "docs/troubleshooting.md#dataseterror"
    assert troubleshooting(RolloutError("x")) == "docs/troubleshooting.md#by-message"


def messages() -> Iterator[tuple[str, str]]:
    """(line, a part of a message) of the tables of messages, without what stands for names and numbers."""
    for line in TROUBLE.partition("## By message")[2].splitlines():
        cells = line.split("|")[1:-1]
        if len(cells) in (2, 3):
            for quoted in re.findall(r"`([^`]+)`", cells[len(cells) - 2]):
                yield from ((line, part.strip(" ,")) for part in quoted.split("…") if len(part.strip(" ,")) > 5)


def test_the_messages_that_are_explained_exist() -> None:
    constants = (node.value for node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str))
    texts = [" ".join(text.split()) for text in constants]
    whole = "\n".join(texts)
    parts = list(messages())
    assert len(parts) > 40
    missing = [part for _, part in parts if part not in whole]
    assert missing == [], "messages that no code gives any more"
