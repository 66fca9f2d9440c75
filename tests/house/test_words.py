"""Phrases that readers stumble over may not come back: in help, errors, docstrings, schemas, pages and documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What may follow "is no" in good English.
_FINE = (
    "longer|more|less|fewer|limit|other|need|use|one|such|way|better|worse|faster|slower|larger|smaller|further|older|"
    "newer|easier|surer|higher|lower|earlier|later"
)
_PLURALS = "frames|videos|images|clips|samples|requests|windows|times|MB|ms|seconds|minutes|events|bytes"
_SINGULARS = "second|minute|hour|frame|clip|core|video|window|epoch|worker"
# Pattern -> what it reads like, and examples: of it, and of good English that is close.
PATTERNS = {
    rf"(?<!here )\bis no (?!(?:{_FINE})\b)[a-z]": (
        "is not a",
        ("the file is no trained model", "which is no number"),
        ("there is no model", "is no longer used", "None is no limit", "the largest is no larger"),
    ),
    r"\b(?:is|are|was|were) told (?!apart|from)": (
        "receives, is given",
        ("the others are told to wait", "the second is told so"),
        ("clips are told apart by their sound", "it is told from rounding"),
    ),
    r"\b[Ss]o many\b(?! that)": (
        "N, at most N",
        ("At most so many clips.", "So many frames, evenly over each video."),
        ("so many that the disk is full", "as many as fit"),
    ),
    r"[;,] else (?:one|its|the model|that of|all of|only)\b": (
        "default:",
        ("Which cores; else one per core.", "Whose score counts, else the model's."),
        ("1 if it fits, else 0", "or else the file is replaced"),
    ),
    rf"\b(?:{_PLURALS}) an? (?:{_SINGULARS})\b(?! of| or | that| is| has)": (
        "per",
        ("frames a second", "ms a clip"),
        ("two frames and a second", "sends frames a minute or two late"),
    ),
    r"\bone a (?:core|second|video|file|class|worker)\b": (
        "one per",
        ("threads: one a core",),
        ("for one, a core is enough",),
    ),
    r"\bcome again \(": ("further requests get", ("more are told to come again (429)",), ("an advert may come again",)),
    r"\b(?:can|could) (?:not )?be had\b": ("downloaded, found", ("weights that could not be had",), ("can be read",)),
    r"that the (?:model|bundle|dataset) has not\b": (
        "unknown to the",
        ("labels that the model has not",),
        ("labels that the model does not have",),
    ),
    r"\bstands? in (?:two|both|several|no) ": (
        "is in",
        ("groups that stand in two splits",),
        ("groups that are in two splits", "it stands in for a video"),
    ),
    r"\b[Tt]he same, named\b": (
        "same as OUTPUT",
        ("--output PATH  The same, named.",),
        ("the same name",),
    ),
    r"\bExits? with \d where\b": (
        "if",
        ("Exits with 1 where videos could not be read.",),
        ("Exits with 1 if a video could not be read.",),
    ),
    r"\b(?:Killed|Interrupted), (?:it|they)\b": (
        "if interrupted, run it again to resume",
        ("Killed, it goes on where it was.",),
        ("If interrupted, it resumes.", "It was killed, it seems."),
    ),
    r"\b(?:was|were) had\b|\bhad of\b": (
        "found, reached",
        ("before n_frames were had",),
        ("what it had offered", "the best was hard to find"),
    ),
    r"\b(?:has|have) not any\b": ("no longer has", ("which it has not any more",), ("it has not been read",)),
    r"\btells? (?:more\b|what there is)": (
        "has the details, lists",
        ("whose log tells more", "/openapi.json tells what there is"),
        ("tells apart two files",),
    ),
    r"\bis there already[.;:]": (
        "already exists",
        ("x.json is there already. Give --force",),
        ("is it there already?",),
    ),
    r"\blies? in (?:an)?other files?\b": (
        "is in another file",
        ("its weights lie in other files",),
        ("the answer lies in the log",),
    ),
    r"\bmay be given again\b": ("repeatable", ("A header; may be given again.",), ("may be given once",)),
    r"\banew\b": ("again", ("Prepare the dataset anew", "the stream begins anew"), ("a new model", "it restarts")),
    r"(?<!already )\bthere already\b(?! (?:is|are|was|were)\b)": (
        "already there, already exists",
        ("200 new, 30 there already",),
        ("30 already there", "there already are two"),
    ),
    r"\bat hand\b": ("available", ("No Docker was at hand.",), ("a hand-made list", "at a hand's width")),
    r"\b[Mm]odels? of ratings\b": ("rating model", ("a model of ratings",), ("ratings of a model",)),
    r"\boutside of the\b": ("outside the", ("files outside of the folder",), ("files outside the folder",)),
    r"\bformats? (?:that )?cannot (?:say|be said)\b|\bcannot be said in\b": (
        "cannot represent",
        ("what a format cannot say", "it cannot be said in this format"),
        ("a format cannot represent it",),
    ),
}
# As above, for what the program itself says: help, errors, logs, schemas, pages; not for the documents.
OF_THE_PROGRAM = {
    r"\b[Mm]ost (?:epochs|memory|milliseconds)\b(?! (?:are|is|of|was))": (
        "maximum number of epochs, peak memory",
        ("most epochs that the head is trained", "The most memory that it used"),
        ("most of the memory", "most memory is free"),
    ),
    r"^(?:Least|Most) [a-z]": (
        "minimum, maximum",
        ("Least agreement", "Most clips that are read"),
        ("At least one", "Most"),
    ),
    r"\bwhich is all that (?:is|are)\b|\bis taken here\b|\bare taken (?:here|at a time)\b": (
        "the maximum; at most N are allowed",
        ("500 MB, which is all that is taken", "64 MB are taken at a time"),
        ("which is all that a loader asks of it", "frames are taken from each clip"),
    ),
    r"\bat most [^.;,]{1,40} (?:is|are) read\b": (
        "at most N are allowed",
        ("has 9 bytes, and at most {MAX} are read.",),
        ("at most 3 files are open", "it is read once"),
    ),
    r"\bcan(?:not)? be told(?: apart by its name)?\.|\bno .{1,20} range can be (?:told|had)\b": (
        "determined",
        ("no 8-bit range can be told. Leave it out",),
        ("they can be told apart",),
    ),
    r"\b(?:is|are) taken as labels\b|\btaken as labels\b": (
        "is used as",
        ("categories taken as labels",),
        ("categories are used as labels",),
    ),
    r"^[Mm]end it\b|\. Mend it\b|[.;] Ask (?:again|another)\b": (
        "correct it; try again",
        ("the gate failed. Mend it", "all are in use. Ask again later"),
        ("the device asks again",),
    ),
    r"\bof the same bytes\b(?!,)": ("identical", ("files of the same bytes have two labels",), ("the same bytes",)),
    r"\b[Ss]et aside: ": ("skipped", ("set aside: a.mp4: no such file",), ("errors set aside",)),
    r"\bWait for it(?:,| or) (?:or )?end it\b": (
        "wait until it finishes, or stop it",
        ("Wait for it, or end it",),
        ("Wait until it finishes, or stop it",),
    ),
    r"\bno one else\b": ("no other", ("a camera that no one else uses",), ("no other program",)),
    r"\bis (?:of |a file of )Keras'? ?weights\b|\ba file of Keras' weights for\b": (
        "a Keras weights file",
        ("is not a file of Keras' weights for MobileNet",),
        ("is not a Keras weights file",),
    ),
    r"\bin it and .{1,40} in the network\b": (
        "in the file but ... in the network",
        ("'w' is [3] in it and [4] in the network",),
        ("'w' is [3] in the file but [4] in the network",),
    ),
    r"\bfrom \d+ up\b(?! to)": (
        "of at least N",
        ("a whole number from 1 up",),
        ("from 1 up to 9", "of at least 1"),
    ),
    r"\b(?:is|are) taken to have\b": (
        "is treated as",
        ("the stream is taken to have ended",),
        ("it is taken to the end",),
    ),
    r"\b(?:is|are) larger than numbers can be\b": (
        "too large",
        ("1e999 is larger than numbers can be",),
        ("too large",),
    ),
    r"\bbroke off: ": ("was cut off", ("an answer broke off: GET /",), ("a response was cut off: GET /",)),
    r"[;:] before, (?:it was|they were)\b": (
        "changed from ... to ...",
        ("frames are 96x96 from here on; before, they were 64x64",),
        ("as before, it was read", "the size changed from 64x64 to 96x96"),
    ),
    r"\. Wait for it,? or\b|\bwait for its end\b": (
        "wait until it finishes",
        ("a reel is being made. Wait for it, or stop it", '"x" is running; wait for its end'),
        ("Wait until it finishes, or stop it",),
    ),
    r"\bis not heard beside\b": (
        "left out",
        ("sound in opus is not heard beside its picture",),
        ("the sound is left out",),
    ),
    r"\b[a-z_]+: The (?:most|fewest|least) (?!likely|accurate|telling|frequent|recent|common)": (
        "maximum number of, minimum",
        ("limit: The most clips.", "min_samples: The fewest rated clips."),
        ("models: The most accurate first.", "At most these clips."),
    ),
    r"\brefers to nothing\b": (
        "matches no version",
        ("It refers to nothing.",),
        ("The reference matches no version.",),
    ),
    r"\b[Ss]omebody (?:else )?was faster\b": (
        "another change was stored first",
        ("Somebody else was faster; the message names them.",),
        ("the second run was faster",),
    ),
    r"\b(?:tflite|[Cc]lassifiers?|program) that others made\b": (
        "made elsewhere",
        ("a .tflite that others made",),
        ("labels that others made",),
    ),
}
FOLDERS = ("adapters", "cliplab", "movinet_adapter", "configs")


def documents() -> Iterator[tuple[str, int, str]]:
    """(file, line, text) of what people read."""
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        yield from lines(path)
    for folder in FOLDERS:
        for suffix in ("html", "js", "json"):
            for path in sorted((ROOT / folder).rglob(f"*.{suffix}")):
                if "vendor" not in path.parts:
                    yield from lines(path)
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = " ".join(node.value.split())
                    yield str(path.relative_to(ROOT)), node.lineno, text


def lines(path: Path) -> Iterator[tuple[str, int, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        yield str(path.relative_to(ROOT)), number, line


def test_no_phrase_that_readers_stumble_over() -> None:
    found = [
        f"{file}:{number}: {match[0]!r}, better {better!r}: ...{text[max(0, match.start() - 50) : match.end() + 30]}..."
        for file, number, text in documents()
        for pattern, (better, _, _) in (PATTERNS if file.endswith(".md") else PATTERNS | OF_THE_PROGRAM).items()
        for match in [re.search(pattern, text)]
        if match
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("pattern", PATTERNS | OF_THE_PROGRAM)
def test_the_patterns_find_what_they_are_for_and_pass_good_english(pattern: str) -> None:
    _, bad, good = (PATTERNS | OF_THE_PROGRAM)[pattern]
    assert all(re.search(pattern, text) for text in bad)
    assert not [text for text in good if re.search(pattern, text)]
