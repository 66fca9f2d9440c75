"""Where the project's folders lie, for tests in any folder."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parent.parent
GOLDEN = SUPPORT / "golden"
