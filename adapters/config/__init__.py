"""Configs: read, migrate, check, fill in defaults, override, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.config.checking import COMMON_SCHEMA as COMMON_SCHEMA
    from adapters.config.checking import Config as Config
    from adapters.config.checking import adapter_class as adapter_class
    from adapters.config.checking import check_config as check_config
    from adapters.config.checking import effect as effect
    from adapters.config.checking import fill_defaults as fill_defaults
    from adapters.config.checking import merge as merge
    from adapters.config.checking import migrate as migrate
    from adapters.config.checking import override as override
    from adapters.config.checking import parse_assignments as parse_assignments
    from adapters.config.checking import properties as properties
    from adapters.config.checking import read_object as read_object
    from adapters.config.checking import schema as schema

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "checking": (
            "COMMON_SCHEMA",
            "Config",
            "adapter_class",
            "check_config",
            "effect",
            "fill_defaults",
            "merge",
            "migrate",
            "override",
            "parse_assignments",
            "properties",
            "read_object",
            "schema",
        ),
    },
)
