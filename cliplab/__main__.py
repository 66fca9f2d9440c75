"""The program ``cliplab``, also as ``python -m cliplab``: what may be interrupted as early as in its imports."""

from __future__ import annotations

from cliplab.cli import interrupts


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
