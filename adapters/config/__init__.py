"""Configs: read, migrate, check, fill in defaults, override, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.config.checking import check_config as check_config
    from adapters.config.checking import merge as merge
    from adapters.config.checking import override as override
    from adapters.config.checking import parse_assignments as parse_assignments
    from adapters.config.files import Config as Config
    from adapters.config.files import read_object as read_object
    from adapters.config.migration import migrate as migrate
    from adapters.config.schemas import COMMON_SCHEMA as COMMON_SCHEMA
    from adapters.config.schemas import AdapterClass as AdapterClass
    from adapters.config.schemas import adapter_class as adapter_class
    from adapters.config.schemas import effect as effect
    from adapters.config.schemas import fill_defaults as fill_defaults
    from adapters.config.schemas import properties as properties
    from adapters.config.schemas import schema as schema

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "checking": ("check_config", "merge", "override", "parse_assignments"),
        "files": ("Config", "parse_json", "read_object"),
        "migration": ("migrate",),
        "schemas": (
            "AdapterClass",
            "COMMON_SCHEMA",
            "adapter_class",
            "effect",
            "fill_defaults",
            "properties",
            "schema",
        ),
    },
)
