"""Text from models, files and their names, made fit to be shown: it neither commands a terminal nor reorders a line."""

from __future__ import annotations

import re

# Control characters (C0 without tab and line feed, DEL, C1), marks that reorder text (Unicode's bidirectional
# controls), further line ends, and halves of surrogate pairs. Joiners stay: words and emoji need them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LINES = re.compile("[\t\n]")


def terminal_text(text: str, *, one_line: bool = False) -> str:
    """The text with what could command a terminal as escapes: an ESC character becomes ``\\x1b``.

    Args:
        text: Any text.
        one_line: Escape line feeds and tabs too.
    """
    safe = _UNSAFE.sub(_escape, text)
    return _LINES.sub(lambda match: {"\t": "\\t", "\n": "\\n"}[match[0]], safe) if one_line else safe


def terminal_json(text: str) -> str:
    """JSON text with the same characters as JSON's own escapes: the same value, fit to be shown.

    Args:
        text: JSON text.
    """
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    named = {"\r": "\\r"}.get(match[0])
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
