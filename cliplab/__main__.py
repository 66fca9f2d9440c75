"""The program ``cliplab``, also as ``python -m cliplab``: what may be interrupted as early as in its imports."""

from __future__ import annotations

import os
import sys


def leave_current_folder() -> None:
    """Take the current folder, which ``python -m`` puts first, off the import path: what lies there is data.

    It stays where it is the folder that cliplab itself is run from. PYTHONPATH is left as it is.
    """
    safe = getattr(sys.flags, "safe_path", False)
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not safe and sys.path and sys.path[0] in ("", os.getcwd()) and os.path.realpath(os.getcwd()) != home:
        del sys.path[0]


if __name__ == "__main__":
    leave_current_folder()

from cliplab.cli import interrupts  # noqa: E402


def main() -> None:
    """Run the command line."""
    interrupts.watch()
    try:
        from cliplab.cli.app import main as run
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or interrupts.pressed():
            interrupts.leave()
        raise
    run()


if __name__ == "__main__":
    main()
