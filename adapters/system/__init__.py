"""Helpers for every other folder: atomic writes, locks, digests, caches, the log of native code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.system.atomic import atomic_file as atomic_file
    from adapters.system.atomic import atomic_path as atomic_path
    from adapters.system.atomic import json_text as json_text
    from adapters.system.atomic import storage_error as storage_error
    from adapters.system.atomic import write_bytes_atomic as write_bytes_atomic
    from adapters.system.atomic import write_json_atomic as write_json_atomic
    from adapters.system.atomic import write_text_atomic as write_text_atomic
    from adapters.system.cache_folder import cache_dir as cache_dir
    from adapters.system.container_memory import memory_limit as memory_limit
    from adapters.system.digest import BLOCK_BYTES as BLOCK_BYTES
    from adapters.system.digest import blocks_fingerprint as blocks_fingerprint
    from adapters.system.digest import file_digest as file_digest
    from adapters.system.digest import file_fingerprint as file_fingerprint
    from adapters.system.digest import sha256_file as sha256_file
    from adapters.system.digest import value_digest as value_digest
    from adapters.system.locks import descriptor_lock as descriptor_lock
    from adapters.system.locks import file_lock as file_lock
    from adapters.system.native_log import CapturedLog as CapturedLog
    from adapters.system.native_log import captured_stderr as captured_stderr
    from adapters.system.native_log import import_keras as import_keras
    from adapters.system.native_log import import_tensorflow as import_tensorflow
    from adapters.system.native_log import warnings_only as warnings_only
    from adapters.system.nearest import did_you_mean as did_you_mean
    from adapters.system.nearest import nearest_hint as nearest_hint
    from adapters.system.nearest import quoted_list as quoted_list
    from adapters.system.network import downloads_allowed as downloads_allowed
    from adapters.system.network import without_downloads as without_downloads
    from adapters.system.path_names import in_own_form as in_own_form
    from adapters.system.path_names import is_url as is_url
    from adapters.system.regular_files import check_regular_file as check_regular_file
    from adapters.system.regular_files import open_regular_file as open_regular_file
    from adapters.system.regular_files import read_regular_bytes as read_regular_bytes
    from adapters.system.regular_files import read_regular_text as read_regular_text
    from adapters.system.safetensors_format import parse_safetensors as parse_safetensors
    from adapters.system.safetensors_format import safetensors_metadata as safetensors_metadata
    from adapters.system.strict_json import MAX_DEPTH as MAX_DEPTH
    from adapters.system.strict_json import parse_json as parse_json
    from adapters.system.strict_json import unique_pairs as unique_pairs
    from adapters.system.terminal import terminal_json as terminal_json
    from adapters.system.terminal import terminal_text as terminal_text
    from adapters.system.whole_numbers import whole_number as whole_number
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "atomic": (
                "atomic_file",
                "atomic_path",
                "json_text",
                "storage_error",
                "write_bytes_atomic",
                "write_json_atomic",
                "write_text_atomic",
            ),
            "cache_folder": ("cache_dir",),
            "container_memory": ("memory_limit",),
            "digest": (
                "BLOCK_BYTES",
                "blocks_fingerprint",
                "file_digest",
                "file_fingerprint",
                "sha256_file",
                "value_digest",
            ),
            "locks": ("descriptor_lock", "file_lock"),
            "native_log": ("CapturedLog", "captured_stderr", "import_keras", "import_tensorflow", "warnings_only"),
            "nearest": ("did_you_mean", "nearest_hint", "quoted_list"),
            "network": ("downloads_allowed", "without_downloads"),
            "path_names": ("in_own_form", "is_url"),
            "regular_files": ("check_regular_file", "open_regular_file", "read_regular_bytes", "read_regular_text"),
            "safetensors_format": ("parse_safetensors", "safetensors_metadata"),
            "strict_json": ("MAX_DEPTH", "parse_json", "unique_pairs"),
            "terminal": ("terminal_json", "terminal_text"),
            "whole_numbers": ("whole_number",),
        },
    )
