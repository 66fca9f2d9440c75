"""Run the tests, and once more, alone, the few that failed, to tell chance from a fault.

    python scripts/test_twice.py -m "not slow" -n 2

Takes pytest's arguments. A test that fails and then passes depends on the load of the computer or on other tests. It
stops nobody's change from landing, but it is named in the output and added to `passed_again.txt` in pytest's cache, to
be mended. More failures than `MOST` are no matter of chance and fail at once, as does anything else than failed tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MOST = 5
TESTS_FAILED = 1  # pytest.ExitCode; others: interrupted, an error inside pytest, bad usage, no tests
FAILED = Path(".pytest_cache/v/cache/lastfailed")  # below pytest's rootdir, where this script is run
PASSED_AGAIN = Path(".pytest_cache/passed_again.txt")


def run_pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments]).returncode


def read_failed() -> list[str]:
    """Node ids of the tests that failed in the last run."""
    return sorted(json.loads(FAILED.read_text(encoding="utf-8"))) if FAILED.exists() else []


def again(failed: list[str]) -> int:
    """Run the failed tests in one process, without others beside or before them. Returns pytest's exit status."""
    print(f"\nRunning the {len(failed)} failed tests once more, alone:", *failed, sep="\n  ", flush=True)
    status = run_pytest("-p", "no:xdist", "--last-failed", "--last-failed-no-failures", "none")
    if status == 0:
        with PASSED_AGAIN.open("a", encoding="utf-8") as file:
            file.writelines(name + "\n" for name in failed)
        print("\npassed only when run again:", *failed, sep="\n  ", flush=True)
    return status


def main() -> int:
    status = run_pytest("--cache-clear", *sys.argv[1:])
    if status != TESTS_FAILED:
        return status
    failed = read_failed()
    if not 0 < len(failed) <= MOST:
        print(f"\n{len(failed)} tests failed; at most {MOST} are run once more.", flush=True)
        return status
    return again(failed)


if __name__ == "__main__":
    sys.exit(main())
