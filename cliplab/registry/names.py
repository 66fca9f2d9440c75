"""What models, versions and environments are called, and what "base-general-v1.0.0" refers to.

The rule for models is `{type}-{variant}`, and a version's full name is `{type}-{variant}-v{version}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.errors import ConfigError
from adapters.system import did_you_mean

TYPES = ("base", "sports", "show-specific", "network", "temporal")
ENVIRONMENTS = ("development", "staging", "production")
LATEST = "latest"  # in NAME@latest: the highest version
BUMPS = ("major", "minor", "patch")
MAX_NAME = 100
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSIONED = re.compile(r"(?P<name>.+)-v(?P<version>[0-9]+\.[0-9]+\.[0-9]+)")
_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
_LOOKS_VERSIONED = re.compile(r"-v[0-9]+(-[0-9]+)*$")
_PERSON = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


@dataclass(frozen=True, order=True)
class Version:
    """A semantic version; versions are ordered by their numbers.

    Attributes:
        major: Raised where the input size, the labels or the architecture change.
        minor: Raised for an improvement.
        patch: Raised for a fix.
    """

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class ModelName:
    """The parts of a model's name.

    Attributes:
        type: One of ``TYPES``, or the first word of the name.
        variant: The rest; empty for a known type alone, such as "temporal".
    """

    type: str
    variant: str


def parse_version(text: str) -> Version:
    """Read a version.

    Args:
        text: Three numbers, such as "1.2.3".

    Raises:
        ConfigError: It has another form.
    """
    match = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        hint = f". Did you mean {text[1:]}?" if isinstance(text, str) and _VERSION.fullmatch(text[1:]) else ""
        raise ConfigError(
            f"version: must be three numbers without leading zeros, such as 1.2.3 (major.minor.patch), got {text!r:.80}"
            f"{hint}"
        )
    return Version(*map(int, match.groups()))


def next_number(kind: str, known: Iterable[Version]) -> Version:
    """The next version of a kind: after the highest one, or 1.0.0.

    Args:
        kind: One of ``BUMPS``.
        known: The versions that exist.
    """
    highest = max(known, default=None)
    if highest is None:
        return Version(1, 0, 0)
    if kind == "major":
        return Version(highest.major + 1, 0, 0)
    if kind == "minor":
        return Version(highest.major, highest.minor + 1, 0)
    return Version(highest.major, highest.minor, highest.patch + 1)


def parse_name(name: str) -> ModelName:
    """Check a model's name and divide it.

    Args:
        name: Such as "base-ad-detector".

    Raises:
        ConfigError: It breaks the rule.
    """
    problem = _name_problem(name)
    if problem:
        raise ConfigError(
            f"name: {name!r:.120} {problem}. A name is TYPE-VARIANT in lower-case words, such as base-general or "
            f"sports-nfl; known types: {', '.join(TYPES)}"
        )
    for known in TYPES:
        if name == known or name.startswith(f"{known}-"):
            return ModelName(known, name[len(known) + 1 :])
    first, _, rest = name.partition("-")
    return ModelName(first, rest)


def _name_problem(name: object) -> str | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "must consist of lower-case letters, digits and single hyphens"
    if len(name) > MAX_NAME:
        return f"has {len(name)} characters; at most {MAX_NAME} are allowed"
    if _LOOKS_VERSIONED.search(name):
        return "ends in a version number; give that with --version"
    if "-" not in name and name not in TYPES:
        return "has a type and no variant"
    return None


def parse_environment(text: str) -> str:
    """Check an environment's name.

    Args:
        text: One of ``ENVIRONMENTS``.

    Raises:
        ConfigError: It is another word.
    """
    if text in ENVIRONMENTS:
        return text
    hint = did_you_mean(text, ENVIRONMENTS) if isinstance(text, str) else ""
    raise ConfigError(f"environment: {text!r:.80} is not an environment.{hint} Allowed: {', '.join(ENVIRONMENTS)}")


@dataclass(frozen=True)
class Reference:
    """What a text refers to.

    Attributes:
        name: The model.
        version: Its version; None where the text names none.
        environment: The environment whose current version is meant; None where the text names none.
        latest: Whether the text asks for the highest version by the word latest.
    """

    name: str
    version: str | None = None
    environment: str | None = None
    latest: bool = False


def parse_reference(text: str) -> Reference:
    """Read what a person writes for a model or one of its versions.

    Args:
        text: "base-general", "base-general-v1.0.0", "base-general@1.0.0", "base-general@latest" or
            "base-general@production".

    Raises:
        ConfigError: It is none of these.
    """
    name, at, rest = str(text).partition("@")
    if at:
        parse_name(name)
        if rest in ENVIRONMENTS:
            return Reference(name, environment=rest)
        if rest == LATEST:
            return Reference(name, latest=True)
        return Reference(name, version=str(parse_version(rest.removeprefix("v"))))
    match = _VERSIONED.fullmatch(name)
    if match:
        parse_name(match["name"])
        return Reference(match["name"], version=str(parse_version(match["version"])))
    parse_name(name)
    return Reference(name)


def full_name(name: str, version: str) -> str:
    """The full name of a version: base-general-v1.0.0.

    Args:
        name: The model.
        version: The version.
    """
    return f"{name}-v{version}"


def parse_person(who: str) -> str:
    """Check the name of a person or program that is kept in the history.

    Args:
        who: One line of text.

    Raises:
        ConfigError: It is empty, longer than 200 characters or has control characters.
    """
    if isinstance(who, str) and who.strip() and _PERSON.fullmatch(who):
        return who.strip()
    raise ConfigError(f"who: must be one line of 1 to 200 characters, got {who!r:.80}")
