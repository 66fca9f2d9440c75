"""Which videos a library holds, on disks and in storages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.library.arguments import find_videos as find_videos
    from cliplab.library.block_reader import open_blocks as open_blocks
    from cliplab.library.files import fingerprint as fingerprint
    from cliplab.library.files import printable as printable
    from cliplab.library.files import walk as walk
    from cliplab.library.highlights import HIGHLIGHTS_FORMAT as HIGHLIGHTS_FORMAT
    from cliplab.library.highlights import HIGHLIGHTS_VERSION as HIGHLIGHTS_VERSION
    from cliplab.library.highlights import read_highlights as read_highlights
    from cliplab.library.settle import SettleFilter as SettleFilter
    from cliplab.library.storage import StoredVideo as StoredVideo
    from cliplab.library.storage import is_remote as is_remote
    from cliplab.library.storage import openable as openable
    from cliplab.library.storage import written_at as written_at
    from cliplab.library.storage_cache import BLOCK_BYTES as BLOCK_BYTES
    from cliplab.library.storage_cache import BlockCache as BlockCache
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "arguments": ("find_videos",),
            "block_reader": ("open_blocks",),
            "files": ("fingerprint", "printable", "walk"),
            "highlights": ("HIGHLIGHTS_FORMAT", "HIGHLIGHTS_VERSION", "read_highlights"),
            "settle": ("SettleFilter",),
            "storage": ("StoredVideo", "is_remote", "openable", "written_at"),
            "storage_cache": ("BLOCK_BYTES", "BlockCache"),
        },
    )
