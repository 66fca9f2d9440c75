"""Feed damaged and hostile inputs to every door of the library, and name those that it does not refuse as it must.

    python scripts/fuzz.py                    # ten times the cases of `make test`: what `make fuzz` runs
    python scripts/fuzz.py video --count 50   # fifty cases of one kind
    python scripts/fuzz.py video --seed 17    # one case again; its files are kept

Allowed are a result, an AdapterError and an answer below 500, within 10 s and 1 GB. Each case follows from its kind and
seed alone. docs/validation.md says more.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from fuzzing.kinds import KINDS  # noqa: E402
from fuzzing.runner import Report, run_cases  # noqa: E402


def main() -> int:
    """Run what the arguments ask for; 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="*", choices=list(KINDS), help="the kinds to run (default: all)")
    parser.add_argument("--times", type=int, default=10, help="how many times the cases of `make test` (default: 10)")
    parser.add_argument("--count", type=int, help="how many cases of each kind, in place of --times")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--seed", type=int, help="run this case alone")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_findings"), help="where files of findings are kept")
    parser.add_argument("--lines", action="store_true", help="print how each case ended")
    options = parser.parse_args()
    found = 0
    for kind in options.kind or KINDS:
        count = options.count or KINDS[kind].cases * options.times
        first = options.first if options.seed is None else options.seed
        begin = time.monotonic()
        report = run_cases(kind, first, 1 if options.seed is not None else count, options.keep)
        _show(kind, report, time.monotonic() - begin, options.lines or options.seed is not None)
        found += len(report.findings)
    return 1 if found else 0


def _show(kind: str, report: Report, seconds: float, lines: bool) -> None:
    results = ", ".join(f"{count} {name}" for name, count in report.results.most_common())
    print(
        f"{kind}: {report.cases} cases in {seconds:.0f} s ({results}); the longest {report.longest_seconds:.1f} s, "
        f"{report.peak_mb} MB; {len(report.findings)} findings",
        flush=True,
    )
    for line in report.lines if lines else ():
        print(f"  {line}")
    for finding in report.findings:
        print(f"  {finding}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
