"""Highlights of recordings and streams: find them, choose where each clip begins and ends, and cut the clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.detect.highlights.as_commands import detect as detect
    from cliplab.detect.highlights.as_commands import generate as generate
    from cliplab.detect.highlights.candidates import Candidate as Candidate
    from cliplab.detect.highlights.candidates import HighlightReport as HighlightReport
    from cliplab.detect.highlights.candidates import read_report as read_report
    from cliplab.detect.highlights.candidates import write_report as write_report
    from cliplab.detect.highlights.commands import detect_all as detect_all
    from cliplab.detect.highlights.commands import highlight_options as highlight_options
    from cliplab.detect.highlights.extending import ExtendedClip as ExtendedClip
    from cliplab.detect.highlights.extending import clips_extend as clips_extend
    from cliplab.detect.highlights.finding import find_highlights as find_highlights
    from cliplab.detect.highlights.generating import GeneratedClip as GeneratedClip
    from cliplab.detect.highlights.generating import GenerateReport as GenerateReport
    from cliplab.detect.highlights.generating import generate_clips as generate_clips
    from cliplab.detect.highlights.live import ReadyClip as ReadyClip
    from cliplab.detect.highlights.live import follow_highlights as follow_highlights
    from cliplab.detect.highlights.options import HighlightOptions as HighlightOptions
    from cliplab.detect.highlights.prompts import PromptStage as PromptStage
    from cliplab.detect.highlights.prompts import make_judge as make_judge
    from cliplab.detect.highlights.rating_order import RatingOrder as RatingOrder
    from cliplab.detect.highlights.stage2 import Stage2 as Stage2
    from cliplab.detect.highlights.stage2 import stage2_model as stage2_model
    from cliplab.detect.highlights.worker import work as work
    from cliplab.detect.highlights.worker import worker as worker
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "as_commands": ("detect", "generate"),
            "candidates": ("Candidate", "HighlightReport", "read_report", "write_report"),
            "commands": ("detect_all", "highlight_options"),
            "extending": ("ExtendedClip", "clips_extend"),
            "finding": ("find_highlights",),
            "generating": ("GenerateReport", "GeneratedClip", "generate_clips"),
            "live": ("ReadyClip", "follow_highlights"),
            "options": ("HighlightOptions",),
            "prompts": ("PromptStage", "make_judge"),
            "rating_order": ("RatingOrder",),
            "stage2": ("Stage2", "stage2_model"),
            "worker": ("work", "worker"),
        },
    )
