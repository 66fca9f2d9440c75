"""What breaks are like, by the name of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.errors import ConfigError
from adapters.inference import read_config, ready_configs
from cliplab.detect.break_profile import BreakProfile, load_break_profile, read_break_profile

PROFILES = ("base", "sports", "show", "network")


def read_profile(name: str | Path) -> BreakProfile:
    """What breaks are like, by name.

    Args:
        name: One of PROFILES, or a config with a "break_profile".

    Raises:
        ConfigError: There is no such profile.
    """
    ready = ready_configs()
    if f"ads_{name}" in ready:
        return read_break_profile(_profile_in(read_config(f"ads_{name}")))
    if name == "base":
        return read_break_profile()
    if str(name) in ready:
        return read_break_profile(_profile_in(read_config(str(name))))
    if Path(name).is_file():
        return load_break_profile(name)
    missing = "" if Path(str(name)).suffix == "" else f", which is not a file here (looked from {Path.cwd()})"
    raise ConfigError(
        f"profile must be one of {', '.join(PROFILES)} or a file with a break_profile, got {str(name)!r}{missing}"
    )


def profile_for_model(profile: BreakProfile, model: str) -> tuple[BreakProfile, tuple[str, ...]]:
    """A profile without its head where that reads the features of another model, and a note that says so.

    Args:
        profile: The profile.
        model: The digest of the model that scores the pictures; "" without one.
    """
    head = profile.score_head
    if head is None or head.model == model:
        return profile, ()
    which = "another model" if model else "a model, and none is given"
    note = f"the profile's head was learned with {which}, so that it is left out"
    return replace(profile, score_head=None), (note,)


def _profile_in(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = config.get("break_profile", {})
    return found
