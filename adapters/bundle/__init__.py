"""A model on disk: the sealed folder, its golden clip and its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.bundle.bundle import Bundle as Bundle
    from adapters.bundle.bundle import is_bundle as is_bundle
    from adapters.bundle.bundle import read_bundle as read_bundle
    from adapters.bundle.bundle import read_bundle_config as read_bundle_config
    from adapters.bundle.bundle import write_bundle as write_bundle
    from adapters.bundle.card import card_text as card_text
    from adapters.bundle.card import render_card as render_card
    from adapters.bundle.digest import model_digest as model_digest
    from adapters.bundle.golden import Golden as Golden
    from adapters.bundle.golden import check_golden as check_golden
    from adapters.bundle.golden import make_golden as make_golden
    from adapters.bundle.golden import measure_tolerance as measure_tolerance
    from adapters.bundle.golden_file import golden_to_bytes as golden_to_bytes
    from adapters.bundle.rendered_clip import VARIANTS as VARIANTS
    from adapters.bundle.rendered_clip import render_clip as render_clip
    from adapters.bundle.sealed_folder import SEAL as SEAL
    from adapters.bundle.sealed_folder import read_seal as read_seal
    from adapters.bundle.sealed_writer import require_own as require_own
    from adapters.bundle.sealed_writer import seal_of as seal_of
    from adapters.bundle.sealed_writer import write_sealed as write_sealed
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "bundle": ("Bundle", "is_bundle", "read_bundle", "read_bundle_config", "write_bundle"),
            "card": ("card_text", "render_card"),
            "digest": ("model_digest",),
            "golden": ("Golden", "check_golden", "make_golden", "measure_tolerance"),
            "golden_file": ("golden_to_bytes",),
            "rendered_clip": ("VARIANTS", "render_clip"),
            "sealed_folder": ("SEAL", "read_seal"),
            "sealed_writer": ("require_own", "seal_of", "write_sealed"),
        },
    )
