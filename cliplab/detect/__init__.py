"""Find ad breaks of recordings, and highlights of recordings and streams, with the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.detect.ads import AdsReport as AdsReport
    from cliplab.detect.ads import find_ads as find_ads
    from cliplab.detect.break_decoder import AdBreak as AdBreak
    from cliplab.detect.break_decoder import Alternative as Alternative
    from cliplab.detect.break_decoder import break_probabilities as break_probabilities
    from cliplab.detect.break_decoder import decide_breaks as decide_breaks
    from cliplab.detect.break_learning import Corrected as Corrected
    from cliplab.detect.break_learning import learn_profile as learn_profile
    from cliplab.detect.break_learning import profile_of_schedules as profile_of_schedules
    from cliplab.detect.break_profile import BreakProfile as BreakProfile
    from cliplab.detect.break_profile import load_break_profile as load_break_profile
    from cliplab.detect.break_profile import read_break_profile as read_break_profile
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
    from cliplab.detect.measuring import LearnedProfile as LearnedProfile
    from cliplab.detect.measuring import SegmentEvaluation as SegmentEvaluation
    from cliplab.detect.measuring import evaluate_breaks as evaluate_breaks
    from cliplab.detect.measuring import learn_breaks as learn_breaks
    from cliplab.detect.observations import ROWS as ROWS
    from cliplab.detect.observations import Observations as Observations
    from cliplab.detect.observations import load_observations as load_observations
    from cliplab.detect.recordings import Recording as Recording
    from cliplab.detect.repetition import RepetitionIndex as RepetitionIndex
    from cliplab.detect.schedules import Schedule as Schedule
    from cliplab.detect.schedules import read_schedules as read_schedules
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "ads": ("AdsReport", "find_ads"),
            "break_decoder": ("AdBreak", "Alternative", "break_probabilities", "decide_breaks"),
            "break_learning": ("Corrected", "learn_profile", "profile_of_schedules"),
            "break_profile": ("BreakProfile", "load_break_profile", "read_break_profile"),
            "highlights.as_commands": ("detect", "generate"),
            "highlights.candidates": ("Candidate", "HighlightReport", "read_report", "write_report"),
            "highlights.commands": ("detect_all", "highlight_options"),
            "highlights.extending": ("ExtendedClip", "clips_extend"),
            "highlights.finding": ("find_highlights",),
            "highlights.generating": ("GenerateReport", "GeneratedClip", "generate_clips"),
            "highlights.live": ("ReadyClip", "follow_highlights"),
            "highlights.options": ("HighlightOptions",),
            "highlights.prompts": ("PromptStage", "make_judge"),
            "highlights.rating_order": ("RatingOrder",),
            "highlights.stage2": ("Stage2", "stage2_model"),
            "highlights.worker": ("work", "worker"),
            "measuring": ("LearnedProfile", "SegmentEvaluation", "evaluate_breaks", "learn_breaks"),
            "observations": ("ROWS", "Observations", "load_observations"),
            "recordings": ("Recording",),
            "repetition": ("RepetitionIndex",),
            "schedules": ("Schedule", "read_schedules"),
        },
    )
