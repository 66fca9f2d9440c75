"""`cliplab config`: show, check and describe configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.config import adapter_schema, check_config, merge_config, require_trusted, trusting
from adapters.errors import AdapterError, ConfigError
from adapters.inference import read_config, ready_configs, stored_config


def config_show(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    trust_adapters: Sequence[str] = (),
) -> dict[str, Any]:
    """The complete config: migrated to the present schema version, checked, with every default filled in.

    Args:
        config: A config file, a ready config's name, a bundle, a self-describing .tflite, or the config itself.
        overrides: Config keys to change.
        trust_adapters: Adapters of other packages that the config may name, "module:Class" each; their code is run.

    Returns:
        The config as a JSON object.

    Raises:
        ConfigError: Keys are wrong; the message names each of them.
    """
    where = "config" if isinstance(config, Mapping) else str(config)
    merged = merge_config(_read(config), overrides or {})
    with trusting(trust_adapters):
        if "adapter" in merged:
            require_trusted(merged["adapter"], where)
        return check_config(merged, where)


def _read(config: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, Mapping) and (Path(config).is_dir() or Path(config).suffix.lower() == ".tflite"):
        return stored_config(Path(config))
    return read_config(config)


@dataclass(frozen=True)
class ConfigCheck:
    """The result of checking one config.

    Attributes:
        config: The config as it was named.
        error: What is wrong with it; None if it is valid.
    """

    config: str
    error: str | None


def config_check(configs: Sequence[str | Path], *, trust_adapters: Sequence[str] = ()) -> list[ConfigCheck]:
    """Check each config as ``config_show`` reads it; a wrong one does not stop the others.

    Args:
        configs: Config files, ready configs' names, bundles or .tflite files.
        trust_adapters: Adapters of other packages that the configs may name, "module:Class" each; their code is run.

    Returns:
        One result per config, in the same order.
    """
    checks = []
    for config in configs:
        try:
            config_show(config, trust_adapters=trust_adapters)
            checks.append(ConfigCheck(str(config), None))
        except AdapterError as error:
            checks.append(ConfigCheck(str(config), str(error)))
    return checks


def config_schema(config: str | Path, *, trust_adapters: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an adapter's configs.

    Args:
        config: An adapter as "module:Class", or anything that ``config_show`` reads and that names one.
        trust_adapters: Adapters of other packages that it may be, "module:Class" each; their code is run.

    Returns:
        The schema as a JSON object.

    Raises:
        ConfigError: The config names no adapter, or the adapter is not trusted or cannot be imported.
    """
    name = str(config)
    if ":" not in name or Path(name).exists():
        found = _read(name).get("adapter")
        if not isinstance(found, str):
            raise ConfigError(
                f'{config}: "adapter" is required, got {found!r}. Ready configs: {", ".join(ready_configs())}'
            )
        name = found
    with trusting(trust_adapters):
        require_trusted(name, str(config))
        return adapter_schema(name)
