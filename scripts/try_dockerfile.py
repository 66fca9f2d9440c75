#!/usr/bin/env python3
"""Run the instructions of a Dockerfile without Docker: each stage in a root of its own, and say how large it becomes.

    sudo scripts/try_dockerfile.py Dockerfile --target predict --work /var/tmp/images -- predict --help

The base image is replaced by a Debian root with Python, which debootstrap makes once (`apt-get install debootstrap`).
RUN lines run by chroot, with the ENV, ARG, WORKDIR and USER of their stage; what follows `--` runs in the last stage as
its ENTRYPOINT would. This shows that every line works and what the image adds; the base image's own size is Docker's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# python:3.11-slim is Debian with Python 3.11; bookworm is the Debian whose own Python is 3.11.
SUITES = {"3.11": "bookworm", "3.13": "trixie"}
KNOWN = ("FROM", "ARG", "ENV", "RUN", "COPY", "WORKDIR", "USER", "ENTRYPOINT", "CMD", "EXPOSE", "SHELL", "VOLUME")
# What a build needs from the machine to reach the package index that its pip is set to; no part of an image.
LENT = ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt")
# Docker's default.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Stage:
    """A stage of a Dockerfile.

    Attributes:
        name: The name after AS, or its number.
        base: The image or stage that it begins from.
        steps: Its instructions, in order: the word and the rest.
    """

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class State:
    """What the instructions of a stage have set so far."""

    root: Path
    env: dict[str, str]
    args: dict[str, str]
    workdir: str = "/"
    user: str = "0"
    entrypoint: list[str] = field(default_factory=list)

    def inherited(self, root: Path) -> State:
        """The state of a stage that begins from this one."""
        return State(root, dict(self.env), {}, self.workdir, self.user, list(self.entrypoint))


def read_dockerfile(text: str, given: Mapping[str, str]) -> list[Stage]:
    """The stages of a Dockerfile.

    Args:
        text: Its content.
        given: Values of ARGs before the first stage, in place of their defaults.

    Raises:
        SystemExit: An instruction is unknown.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    args: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, (line.strip() for line in joined.splitlines())):
        word, _, rest = line.partition(" ")
        word, rest = word.upper(), rest.strip()
        if word not in KNOWN:
            raise SystemExit(f"{word} is not an instruction that this script knows ({', '.join(KNOWN)})")
        if word == "FROM":
            image, name = re.fullmatch(r"(\S+)(?:\s+(?i:as)\s+(\S+))?", rest).groups()  # type: ignore[union-attr]
            stages.append(Stage(name or str(len(stages)), expand(image, args)))
        elif not stages:
            name, _, value = rest.partition("=")
            args[name] = given.get(name, value)
        else:
            stages[-1].steps.append((word, rest))
    return stages


def expand(text: str, values: dict[str, str]) -> str:
    """Text with ``$NAME`` and ``${NAME}`` replaced; names without a value become empty."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: values.get(m[1] or m[2], ""), text)


def needed(stages: list[Stage], target: str) -> list[Stage]:
    """The stages that a target is built from, in order.

    Raises:
        SystemExit: There is no such stage.
    """
    by_name = {stage.name: stage for stage in stages}
    if target not in by_name:
        raise SystemExit(f"there is no stage {target!r}. It has: {', '.join(by_name)}")
    wanted, queue = set(), [target]
    while queue:
        stage = by_name[queue.pop()]
        wanted.add(stage.name)
        others = [stage.base, *(m[1] for word, rest in stage.steps if (m := re.match(r"--from=(\S+)", rest)))]
        queue += [name for name in others if name in by_name and name not in wanted]
    return [stage for stage in stages if stage.name in wanted]


def make_base(folder: Path, python: str) -> None:
    """A Debian root with the Python of the base image, unless it exists."""
    if (folder / "usr/local/bin/python").exists():
        return
    suite = SUITES.get(python)
    if suite is None:
        raise SystemExit(f"no Debian has Python {python} as its own; use one of {', '.join(SUITES)}")
    if not (folder / "usr/bin/python3").exists():
        subprocess.run(["debootstrap", "--variant=minbase", suite, str(folder)], check=True, stdout=subprocess.DEVNULL)
    chroot(State(folder, {}, {}), ["sh", "-c", "apt-get update -q && apt-get install -qy --no-install-recommends "
                                   "python3 python3-venv python3-pip ca-certificates && apt-get clean"])  # fmt: skip
    for name in ("python", "pip"):
        (folder / "usr/local/bin" / name).symlink_to(f"/usr/bin/{name}3")


def chroot(state: State, command: list[str]) -> None:
    """Run a command in a stage's root, with what the machine lends it.

    Raises:
        SystemExit: It failed.
    """
    lend(state.root)
    own = {"PATH": PATH, "HOME": "/root"}
    pip = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or key.endswith("_proxy")}
    inside = ["chroot", f"--userspec={state.user}:{state.user}", str(state.root), "env", "-C", state.workdir, *command]
    mounts = f"mount -t proc proc {state.root}/proc && mount --rbind /dev {state.root}/dev && exec {shlex.join(inside)}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", mounts], env={**own, **pip, **state.args, **state.env})
    if done.returncode:
        raise SystemExit(f"exit status {done.returncode} of: {shlex.join(command)}")


def lend(root: Path) -> None:
    """Copy the machine's name servers and certificates into a root."""
    for name in LENT:
        source, target = Path("/", name), root / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)


def copy(state: State, rest: str, context: Path, roots: dict[str, Path]) -> None:
    """Carry out COPY: from the context, or from another stage."""
    words = shlex.split(rest)
    origin, left_out = context, shutil.ignore_patterns("__pycache__") if "--from=" not in rest else None
    while words[0].startswith("--"):
        option = words.pop(0)
        if option.startswith("--from="):
            origin = roots[option.removeprefix("--from=")]
    *sources, target = words
    place = state.root / os.path.join(state.workdir, target).lstrip("/")
    for source in sources:
        path = origin / source.lstrip("/")
        if path.is_dir():
            shutil.copytree(
                path, place, symlinks=True, dirs_exist_ok=True, ignore=left_out if origin == context else None
            )
        else:
            to = place / path.name if target.endswith("/") or len(sources) > 1 else place
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)


def build(stage: Stage, state: State, context: Path, roots: dict[str, Path], given: dict[str, str]) -> None:
    """Carry out the instructions of a stage."""
    shell = ["/bin/sh", "-c"]
    for word, rest in stage.steps:
        values = {**state.args, **state.env}
        print(f"{stage.name}: {word} {' '.join(rest.split())[:100]}", flush=True)
        if word == "RUN":
            chroot(state, [*shell, rest])
        elif word == "COPY":
            copy(state, expand(rest, values), context, roots)
        elif word == "ARG":
            name, _, value = rest.partition("=")
            state.args[name] = given.get(name, expand(value, values))
        elif word == "ENV":
            words = shlex.split(expand(rest, {"PATH": PATH, **values}))
            state.env |= {name: value for name, _, value in (part.partition("=") for part in words)}
        elif word == "WORKDIR":
            state.workdir = os.path.join(state.workdir, expand(rest, values))
            (state.root / state.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            state.user = rest
        elif word == "SHELL":
            shell = json.loads(rest)
        elif word == "ENTRYPOINT":
            state.entrypoint = json.loads(rest)


def megabytes(folder: Path) -> float:
    """The size of the files below a folder, as `docker image inspect` counts it: apparent bytes / 10^6."""
    done = subprocess.run(["du", "-sxb", str(folder)], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], epilog="-- COMMAND runs in the last stage"
    )
    parser.add_argument("dockerfile", type=Path)
    parser.add_argument("--target", help="the stage to build; default: the last")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/try_dockerfile"), help="where the roots are made")
    parser.add_argument("--context", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the sizes there")
    own, _, command = " ".join(map(shlex.quote, sys.argv[1:])).partition(" -- ")
    options = parser.parse_args(shlex.split(own))
    given = dict(item.split("=", 1) for item in options.build_arg)
    stages = read_dockerfile(options.dockerfile.read_text(encoding="utf-8"), given)
    states: dict[str, State] = {}
    sizes: dict[str, dict[str, float]] = {}
    for stage in needed(stages, options.target or stages[-1].name):
        start, root = time.perf_counter(), options.work.resolve() / stage.name
        if stage.base in states:
            parent = states[stage.base]
        else:
            version = re.search(r"python:?(\d+\.\d+)", stage.base)
            folder = options.work.resolve() / f"base-{version[1] if version else '3.11'}"
            make_base(folder, version[1] if version else "3.11")
            parent = State(folder, {}, {})
        if root.exists():
            raise SystemExit(f"{root} exists; remove it, or name another folder with --work")
        subprocess.run(["cp", "-a", "--reflink=auto", str(parent.root), str(root)], check=True)
        states[stage.name] = state = parent.inherited(root)
        build(stage, state, options.context, {name: item.root for name, item in states.items()}, given)
        whole = megabytes(root)
        added = whole - megabytes(parent.root)
        sizes[stage.name] = {
            "megabytes": round(whole),
            "added": round(added),
            "seconds": round(time.perf_counter() - start),
        }
        print(f"{stage.name}: {whole:.0f} MB, {added:.0f} more than {stage.base}", flush=True)
    if command:
        chroot(state, [*state.entrypoint, *shlex.split(command)])
    if options.json:
        options.json.write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
