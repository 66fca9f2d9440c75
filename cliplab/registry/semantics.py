"""What a version number must say: checked against what changed, since people forget.

The rule: another input size, other labels or another architecture is a new major version. Whether a minor version is an
improvement and a patch a fix is the person's word; the measured difference stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.config import COMMON_SCHEMA, AdapterClass, key_schemas
from adapters.errors import ConfigError
from adapters.records import InputSpec
from adapters.system import MAX_DEPTH, parse_json, quoted_list
from cliplab.registry.names import Version, parse_version
from cliplab.registry.records import StoredVersion

# Keys that belong to the weights and say nothing of the shape of the network: the size has its own place, a precision
# or another crop is an improvement or a fix.
_NO_ARCHITECTURE = {"imgz", "input_width", "hub_version", "quantize", "crop_fraction", "labels", "positive_label"}


def interface_of(
    adapter: AdapterClass, config: Mapping[str, Any], labels: Sequence[str], spec: InputSpec
) -> dict[str, Any]:
    """What users of a model rely on, and what only a new major version may change.

    Args:
        adapter: Its adapter's class.
        config: The model's complete config.
        labels: Its classes in order.
        spec: What it asks for.

    Returns:
        JSON values: adapter, task, labels, input, architecture.
    """
    schemas = key_schemas(adapter)
    # Where the number of frames is a matter of the program and not of its user, it is part of the input.
    frames = {} if schemas["n_frames"].get("x-effect") == "runtime" else {"frames": spec.n_frames}
    common = parse_json(COMMON_SCHEMA.read_text(encoding="utf-8"), MAX_DEPTH)["properties"]
    own = {
        key: config[key]
        for key, schema in schemas.items()
        if key in config and key not in common and key not in _NO_ARCHITECTURE and schema.get("x-effect") == "retrain"
    }
    units = [layer for layer in config.get("head") or () if isinstance(layer, Mapping) and "units" in layer]
    return {
        "adapter": config["adapter"],
        "task": config.get("task"),
        "labels": list(labels),
        "input": {"height": spec.height, "width": spec.width} | frames,
        "architecture": {**own, "head": units},
    }


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What two interfaces differ in, a sentence each.

    Args:
        before: Of ``interface_of``.
        after: Of ``interface_of``.
    """
    found = []
    if before.get("input") != after.get("input"):
        found.append(f"the input size changed from {_size(before)} to {_size(after)}")
    old, new = list(before.get("labels") or ()), list(after.get("labels") or ())
    if old != new:
        gone, added = [x for x in old if x not in new], [x for x in new if x not in old]
        parts = ([f"without {quoted_list(gone)}"] if gone else []) + ([f"with {quoted_list(added)}"] if added else [])
        found.append(f"the labels changed ({' and '.join(parts) or 'another order'})")
    for key in ("adapter", "task"):
        if before.get(key) != after.get(key):
            found.append(f"the {key} changed from {before.get(key)} to {after.get(key)}")
    if before.get("adapter") != after.get("adapter"):
        return found  # keys of two adapters cannot be compared one by one
    one, two = before.get("architecture") or {}, after.get("architecture") or {}
    for key in sorted(one.keys() | two.keys()):
        if one.get(key) != two.get(key):
            found.append(f"the architecture changed: {key} from {one.get(key)!r:.80} to {two.get(key)!r:.80}")
    return found


def describe_change(
    version: Version, interface: Mapping[str, Any], metrics: Mapping[str, float], others: Sequence[StoredVersion]
) -> dict[str, Any]:
    """Check a new version against those that exist, and describe how it differs.

    Args:
        version: The new version.
        interface: Its interface.
        metrics: Its figures.
        others: The versions that exist, the lowest first.

    Returns:
        JSON values: kind ("first", "major", "minor" or "patch"), from (the version it is compared with), interface
        (what changed), metrics (before, after and difference by name).

    Raises:
        ConfigError: The number is too low, or something changed that needs a new major version.
    """
    known = {parse_version(item.version): item for item in others}
    if not known:
        return {"kind": "first", "from": None, "interface": [], "metrics": {}}
    _check_order(version, list(known))
    below = [item for number, item in known.items() if number < version]
    before = below[-1]
    number = parse_version(before.version)
    changed = differences(before.interface, interface)
    if number.major == version.major and changed:
        raise ConfigError(
            f"version {version}: {'; '.join(changed)} since {before.version}. This needs a new major version: "
            f"--version {max(known).major + 1}.0.0"
        )
    kind = "major" if number.major != version.major else "minor" if number.minor != version.minor else "patch"
    return {"kind": kind, "from": before.version, "interface": changed, "metrics": measured(before.metrics, metrics)}


def measured(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Figures that two versions both have, with the difference.

    Args:
        before: Figures by name.
        after: Figures by name.
    """
    return {
        name: {"before": before[name], "after": after[name], "difference": after[name] - before[name]}
        for name in before
        if name in after
    }


def _check_order(version: Version, known: list[Version]) -> None:
    """A new number is the last of its line: of its major.minor, of the minors of its major, or of all majors."""
    line = [item for item in known if (item.major, item.minor) == (version.major, version.minor)]
    majors = [item for item in known if item.major == version.major]
    rivals = line or majors or known
    highest = max(rivals)
    if version > highest:
        return
    if line:
        following = Version(highest.major, highest.minor, highest.patch + 1)
    elif majors:
        following = Version(highest.major, highest.minor + 1, 0)
    else:
        following = Version(highest.major + 1, 0, 0)
    raise ConfigError(f"version {version}: {highest} exists, so the next one here is {following}")


def _size(interface: Mapping[str, Any]) -> str:
    size = interface.get("input") or {}
    frames = f" x {size['frames']} frames" if "frames" in size else ""
    return f"{size.get('height')}x{size.get('width')}{frames}"
