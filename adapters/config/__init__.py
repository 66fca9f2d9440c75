"""Configs: read, migrate, check, fill in defaults, override, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.config.checking import ConfigProblem as ConfigProblem
    from adapters.config.checking import check_config as check_config
    from adapters.config.checking import config_problems as config_problems
    from adapters.config.checking import merge_config as merge_config
    from adapters.config.checking import override_config as override_config
    from adapters.config.checking import parse_assignments as parse_assignments
    from adapters.config.files import Config as Config
    from adapters.config.files import read_config_file as read_config_file
    from adapters.config.label_file import read_label_file as read_label_file
    from adapters.config.local_paths import file_name as file_name
    from adapters.config.local_paths import first_weights as first_weights
    from adapters.config.local_paths import without_local_paths as without_local_paths
    from adapters.config.messages import allowed_words as allowed_words
    from adapters.config.migration import complete_stored_config as complete_stored_config
    from adapters.config.migration import migrate_config as migrate_config
    from adapters.config.objective import OBJECTIVES as OBJECTIVES
    from adapters.config.objective import Objective as Objective
    from adapters.config.objective import parse_objective as parse_objective
    from adapters.config.old_dataloop import is_old_dataloop as is_old_dataloop
    from adapters.config.schemas import COMMON_SCHEMA as COMMON_SCHEMA
    from adapters.config.schemas import AdapterClass as AdapterClass
    from adapters.config.schemas import adapter_class as adapter_class
    from adapters.config.schemas import adapter_schema as adapter_schema
    from adapters.config.schemas import fill_defaults as fill_defaults
    from adapters.config.schemas import key_effect as key_effect
    from adapters.config.schemas import key_schemas as key_schemas
    from adapters.config.schemas import use_class as use_class
    from adapters.config.schemas import with_own_names as with_own_names
    from adapters.config.trust import BUILT_IN_ADAPTERS as BUILT_IN_ADAPTERS
    from adapters.config.trust import PACKAGES as PACKAGES
    from adapters.config.trust import require_trusted as require_trusted
    from adapters.config.trust import trusted_adapters as trusted_adapters
    from adapters.config.trust import trusting as trusting
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "checking": (
                "ConfigProblem",
                "check_config",
                "config_problems",
                "merge_config",
                "override_config",
                "parse_assignments",
            ),
            "files": ("Config", "read_config_file"),
            "label_file": ("read_label_file",),
            "local_paths": ("file_name", "first_weights", "without_local_paths"),
            "messages": ("allowed_words",),
            "migration": ("complete_stored_config", "migrate_config"),
            "objective": ("OBJECTIVES", "Objective", "parse_objective"),
            "old_dataloop": ("is_old_dataloop",),
            "schemas": (
                "AdapterClass",
                "COMMON_SCHEMA",
                "adapter_class",
                "key_effect",
                "fill_defaults",
                "key_schemas",
                "adapter_schema",
                "use_class",
                "with_own_names",
            ),
            "trust": ("BUILT_IN_ADAPTERS", "PACKAGES", "require_trusted", "trusted_adapters", "trusting"),
        },
    )
