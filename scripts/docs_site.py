"""Hooks of the documentation site: pages outside docs/ become part of it.

mkdocs calls these functions by name (``hooks`` in mkdocs.yml). README.md is the first page; CHANGELOG.md,
CONTRIBUTING.md, SECURITY.md, benchmarks/results.md and samples/NOTICE.md are pages of their own. A link to another file
of the project becomes a copy of that file in the site.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "benchmarks/results.md": "benchmarks/results.md",
    "samples/NOTICE.md": "samples/NOTICE.md",
}
# Search results: pages that answer come before the Python reference. Beginning of a path -> weight.
SEARCH_WEIGHTS = {
    "how/questions": 4.0,
    "how/": 2.0,
    "guides/": 2.0,
    "troubleshooting": 2.0,
    "index": 1.5,
    "ads.md": 2.0,
    "choosing": 2.0,
    "dataloop": 2.0,
    "api/": 0.05,
    "adding_": 0.2,
    "architecture": 0.2,
    "changelog": 0.1,
    "contributing": 0.2,
    "benchmarks/": 0.2,
}
LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)#\s]+)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages of ``PAGES``, and what any page links to outside docs/."""
    for name, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_relinked(text, source, name)))
    for page in sorted(DOCS.rglob("*.md")):
        for target in _outside(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()):
            _add(files, config, target)
    for source in PAGES.values():
        for target in _outside((ROOT / source).read_text(encoding="utf-8"), source):
            _add(files, config, target)
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn links of a page of docs/ that lead out of it to the copies in the site; weigh the page for the search."""
    name = page.file.src_uri
    weights = (weight for start, weight in SEARCH_WEIGHTS.items() if name.startswith(start))
    page.meta.setdefault("search", {"boost": next(weights, 1.0)})
    return markdown if name in PAGES else _relinked(markdown, f"docs/{name}", name)


def _add(files: Files, config: Any, target: str) -> None:
    """Add a copy of a file of the project, unless it is a page already."""
    if target not in PAGES.values() and files.get_file_from_path(target) is None:
        files.append(File.generated(config, target, content=(ROOT / target).read_bytes()))


def _resolved(target: str, source: str) -> str:
    """The path of a link's target from the project's root."""
    return (ROOT / PurePosixPath(source).parent / target).resolve().relative_to(ROOT).as_posix()


def _outside(text: str, source: str) -> list[str]:
    """Files outside docs/ that a text links to, by their paths from the project's root."""
    found = [_resolved(target, source) for _, target in LINK.findall(text)]
    return [path for path in found if not path.startswith("docs/") and (ROOT / path).is_file()]


def _relinked(text: str, source: str, page: str) -> str:
    """A text of ``source`` with its links as they must be on the site's page ``page``."""

    def link(match: re.Match[str]) -> str:
        path = _resolved(match[2], source)
        here = {origin: name for name, origin in PAGES.items()}.get(path, path.removeprefix("docs/"))
        up = "../" * (len(PurePosixPath(page).parts) - 1)
        return f"{match[1]}{up}{here}"

    return LINK.sub(link, text)
