"""The process that runs cases: python child.py KIND FIRST COUNT FOLDER. It writes a line before and after each case.

The lines are JSON on the descriptor that was stdout; a line on stdin lets it go on after a case. What the code under
test prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:1] = [str(HERE.parents[3]), str(HERE.parents[1])]  # in place of this folder

# A case that takes much more is not to take the machine along; it is found by its peak before.
ADDRESS_SPACE = 12 << 30


def peak_mb() -> int:
    """The most memory that this process, or one that it started and that still runs, has used since the last reset."""
    peaks = [_peak_of(pid) for pid in (str(os.getpid()), *_children())]
    return max(peaks, default=0)


def _children() -> list[str]:
    try:
        return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    except OSError:
        return []


def _peak_of(pid: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def ended_children_mb() -> int:
    """The most memory that any process that this one has waited for has used; of Linux, where it is in kB."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def reset_peak() -> None:
    """From now on the peak is counted anew, where the system can."""
    for pid in (str(os.getpid()), *_children()):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            continue


def main(kind: str, first: int, count: int, folder: Path) -> None:
    """Run the cases of a range of seeds."""
    import faulthandler
    import resource

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**line: object) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    from fuzzing.case import UnexpectedAnswerError, case_files
    from fuzzing.kinds import KINDS

    with KINDS[kind].opened(folder) as run:
        say(ready=True, mb=peak_mb())
        ended_mb = ended_children_mb()
        for seed in range(first, first + count):
            for left in case_files(folder):
                left.unlink(missing_ok=True)
            reset_peak()
            say(begin=seed)
            begin, error = time.monotonic(), None
            try:
                result = run(seed)
            except UnexpectedAnswerError as found:
                result, error = "", str(found)
            except BaseException:
                result, error = "", traceback.format_exc()
            seconds, mb, before = time.monotonic() - begin, peak_mb(), ended_mb
            ended_mb = ended_children_mb()
            mb = max(mb, ended_mb if ended_mb > before else 0)
            say(end=seed, seconds=seconds, mb=mb, result=result, error=error)
            sys.stdin.readline()  # the files of the case stay until they are copied
    say(done=True)
    os._exit(0)  # hosts that threads serve do not end by themselves


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
