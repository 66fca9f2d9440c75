"""Change one expression at a time in the modules that decide results, and count the changes that the tests notice.

    python scripts/mutants.py --count 80 --minutes 28 --seed 0

The changes are those of Cosmic Ray's operators. Each is made in a copy of the checkout, and the test files that concern
the module run there until one fails. docs/validation.md says how to read the result.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parent.parent
FORMAT_TESTS = tuple(
    f"adapters/data/test_{name}.py"
    for name in ("dataset_meaning", "foreign_times", "dataset", "dataset_formats", "dataset_roundtrip")
)
EVALUATION_TESTS = ("adapters/evaluation/test_evaluation_exact.py", "adapters/evaluation/test_evaluation.py")
STORE_TESTS = ("cliplab/scan/test_scan_known.py", "cliplab/scan/test_scan_store.py")
HTTP_TESTS = tuple(f"adapters/hosts/test_{name}.py" for name in ("http_request_limits", "http_host_bad", "http_host"))
FOREIGN_TESTS = tuple(
    f"adapters/data/test_{name}.py"
    for name in (
        *("interval_fields", "foreign_times_and_names", "foreign_formats", "foreign_roundtrip", "interval_formats"),
        *("foreign_refusals", "splice_signals"),
    )
)
FOREIGN_FORMATS = (
    "clip_lists",
    "comskip",
    "cue_breaks",
    "cvat",
    "datumaro",
    "edl",
    "elan",
    "ffmetadata",
    "fiftyone",
    "foreign_rows",
    "frame_ranges",
    "frame_runs",
    "hls_cues",
    "hmdb51",
    "interval_clips",
    "interval_csv",
    "interval_json",
    "interval_records",
    "intervals",
    "json_file",
    "kinetics_csv",
    "kinetics_json",
    "label_files",
    "label_studio",
    "matroska_chapters",
    "mmaction_rawframes",
    "mmaction_videos",
    "mythtv",
    "safe_xml",
    "scte35",
    "sponsorblock",
    "ucf101",
    "via",
    "videofolder",
    "webdataset",
)


def _together(folder: str, names: str, *tests: str) -> dict[str, tuple[str, ...]]:
    """Modules of a folder, and the test files of the same folder that concern all of them."""
    return {f"{folder}/{name}.py": tuple(f"{folder}/test_{test}.py" for test in tests) for name in names.split()}


DETECT = "cliplab/detect"
# Each module, and the test files below tests/ that concern it, the quickest first.
MODULES = {
    "adapters/media/sampling.py": ("adapters/media/test_sampling.py", "adapters/media/test_media.py"),
    "adapters/media/clock.py": (
        *("adapters/media/test_media_clock.py", "adapters/media/test_media_stamps.py"),
        *("adapters/media/test_media.py", "adapters/media/test_media_odd.py"),
    ),
    **_together("adapters/media", "transport_codecs", "media_containers"),
    "adapters/media/claimed_length.py": ("cliplab/datasets/test_claimed_hours.py",),
    **_together("adapters/media", "references decoding_plan", "sparse_sampling"),
    **_together("adapters/media", "recognition stream_choice", "kinds_of_files"),
    **_together("adapters/media", "mp4_tables", "box_tables", "edits_that_hide_all"),
    **_together("adapters/media", "gif_end", "gif_ends"),
    **_together("adapters/media", "lost_frames", "lost_frames"),
    **_together("adapters/media", "untimed_packets", "untimed_packets"),
    **_together("adapters/media", "packets", "packet_roles"),
    **_together("adapters/inference", "segments", "prompts_and_scores", "segments"),
    **_together("adapters/inference", "prompts stored_thresholds", "prompts_and_scores"),
    **_together("adapters/inference", "predict pipeline", "inference", "pipeline"),
    **_together("adapters/config", "checking migration", "config"),
    **_together("adapters/config", "label_file", "label_files"),
    **_together("adapters/bundle", "sealed_folder sealed_writer", "seal_refusals", "bundle_edges", "bundle"),
    **_together("adapters/data", "checks row_keys rows time_values video_paths", "row_fields", "dataset_meaning"),
    "adapters/data/frame_folders.py": ("adapters/data/test_formats_as_published.py",),
    "adapters/data/splits.py": ("adapters/data/test_splits_and_spellings.py", "adapters/data/test_dataset_split.py"),
    "adapters/data/formats/activitynet.py": FORMAT_TESTS,
    "adapters/data/formats/coco.py": (*FORMAT_TESTS, "cliplab/datasets/test_dataset_prepare.py"),
    "adapters/data/formats/csv_table.py": FORMAT_TESTS,
    "adapters/data/formats/dataloop.py": FORMAT_TESTS,
    "adapters/data/formats/folders.py": FORMAT_TESTS,
    "adapters/data/formats/jsonl.py": FORMAT_TESTS,
    "adapters/data/formats/labels_json.py": FORMAT_TESTS,
    "adapters/data/formats/video_entries.py": FORMAT_TESTS,
    "adapters/data/formats/studio.py": (
        *("adapters/data/test_agreed_spans.py", "adapters/data/test_studio_format.py"),
    ),
    **{f"adapters/data/formats/{name}.py": FOREIGN_TESTS for name in FOREIGN_FORMATS},
    "adapters/evaluation/metrics.py": EVALUATION_TESTS,
    "adapters/evaluation/curves.py": EVALUATION_TESTS,
    "adapters/evaluation/ranking.py": ("adapters/evaluation/test_ranking.py",),
    "adapters/evaluation/report.py": EVALUATION_TESTS,
    **_together("adapters/evaluation", "intervals", "intervals", "honest_figures"),
    **_together("adapters/evaluation", "thresholds", "thresholds", "few_and_many"),
    **_together("adapters/evaluation", "break_metrics", "break_metrics", "few_and_many"),
    "adapters/training/head.py": (
        *("adapters/training/test_head.py", "adapters/models/test_network.py", "adapters/training/test_fitting.py"),
    ),
    "adapters/training/feature_store.py": ("adapters/training/test_feature_store.py",),
    **_together("adapters/training", "linear_head regression fold_division calibration", "linear_head"),
    **_together("adapters/training", "out_of_fold", "out_of_fold"),
    **_together("adapters/training", "training_data", "training_data"),
    "adapters/models/ensemble/voting.py": ("adapters/models/test_voting.py", "adapters/models/test_ensemble.py"),
    "adapters/models/ensemble/members.py": (
        *("adapters/models/test_members_share.py", "adapters/models/test_ensemble_edges.py"),
        "adapters/models/test_ensemble.py",
    ),
    **_together("adapters/system", "safetensors_format", "safetensors_format"),
    **_together("adapters/litert", "graph_order", "graph_order"),
    "adapters/models/tflite_classifier/adoption.py": ("adapters/models/test_adoption_choices.py",),
    "adapters/models/prompt_pair/tokenizing.py": ("adapters/models/test_prompt_pair.py",),
    "adapters/models/prompt_pair/tokenizing_process.py": ("adapters/models/test_prompt_pair.py",),
    "adapters/models/prompt_pair/files.py": ("adapters/models/test_pair_folder.py",),
    "adapters/models/keras_model/description.py": ("adapters/models/test_keras_description.py",),
    **_together("adapters/litert", "trial", "trial_limits", "trial"),
    **_together("adapters/litert", "dynamic_weights", "uneven_kernels", "litert_edit", "litert_quantize"),
    **_together("adapters/litert", "int8 observed", "litert_edit", "litert_quantize", "int8_choice"),
    "adapters/hosts/http_server/request_limits.py": HTTP_TESTS,
    "movinet_adapter/architecture.py": ("movinet_adapter/test_movinet_layers_and_names.py",),
    "movinet_adapter/weights/mapping.py": (
        *("movinet_adapter/test_movinet_layers_and_names.py", "movinet_adapter/test_movinet_weights_mapping.py"),
    ),
    "adapters/inference/stream_ticks.py": ("movinet_adapter/test_movinet_ticks.py",),
    **_together("cliplab/library", "storage storage_cache block_reader", "storage_blocks"),
    "cliplab/library/settle.py": ("cliplab/scan/test_scan_known.py",),
    "cliplab/scan/score_rows.py": ("cliplab/scan/test_rows_of_scores.py", *STORE_TESTS),
    "cliplab/scan/store.py": STORE_TESTS,
    "cliplab/scan/store_file.py": STORE_TESTS,
    "cliplab/scan/store_schema.py": STORE_TESTS,
    **_together("cliplab/scan", "sampling", "scan_bounds", "scan_sampling"),
    **_together("cliplab/reel", "plan", "reel_plan"),
    **_together("cliplab/reel", "sound", "reel_sound"),
    **_together("cliplab/registry", "manifest manifest_file manifest_metrics", "manifest"),
    **_together("cliplab/registry", "events names semantics", "registry_bounds", "registry"),
    **_together("cliplab/registry", "promotion store uploading", "registry"),
    **_together("cliplab/rollout", "evidence judging", "judging", "engine"),
    **_together("cliplab/rollout", "settings", "rollout_bounds", "engine"),
    **_together("cliplab/rollout", "engine groups record", "engine"),
    **_together("cliplab/rollout", "histograms storing", "storing"),
    **_together("cliplab/rollout", "report", "rollout_bounds", "storing"),
    **_together("cliplab/rollout", "example_queue", "rollout_bounds", "example_queue"),
    **_together("cliplab/rollout/device", "loop_counts", "loop_counts"),
    **_together(
        "cliplab/rollout/device", "connection downloading refusals", "device_attacks", "device_hostile_servers"
    ),
    **_together("cliplab/clips", "choosing consensus learners ranking rating_training", "ratings"),
    **_together("cliplab/clips", "feature_table", "feature_tables", "ratings"),
    **_together("cliplab/clips", "listing manager rating_rows ratings triggers", "clips_bounds", "manager"),
    **_together("cliplab/clips", "clip_reader clip_rows tag_rows", "manager"),
    **_together("cliplab/clips", "rating_files records", "clips_bounds", "rating_files"),
    **_together("cliplab/registry", "promoted_model", "promoted_model"),
    **_together("cliplab/clips", "rating_ab", "rating_ab"),
    **_together("cliplab/clips", "rater_agreement", "rater_agreement"),
    **_together(DETECT, "break_decoder break_evidence break_lattice break_words", "edges_by_chance", "break_decoder"),
    **_together(DETECT, "break_learning break_profile", "detect_bounds", "break_learning"),
    **_together(DETECT, "gathering logo looks sound", "evidence"),
    **_together(DETECT, "key_cuts", "exact_keys"),
    **_together(DETECT, "observations", "detect_bounds", "observations"),
    **_together(DETECT, "fingerprints repeated repetition", "repetition"),
    **{f"{DETECT}/highlights/{name}.py": (f"{DETECT}/test_finding_highlights.py",) for name in ("hearing", "watching")},
    **{
        f"{DETECT}/highlights/{name}.py": tuple(f"{DETECT}/test_{test}.py" for test in (*tests, "finding_highlights"))
        for name, tests in {
            "candidates": ("detect_bounds",),
            "cells": ("proposing", "playlists_and_chats"),
            "chat": ("playlists_and_chats",),
            "edges": ("playlists_and_chats",),
            "hls_playlist": ("playlists_and_chats",),
            "options": ("detect_bounds",),
            "proposing": ("proposing",),
        }.items()
    },
    f"{DETECT}/highlights/web_video.py": (f"{DETECT}/test_hostile_streams.py",),
    f"{DETECT}/highlights/job_folders.py": (f"{DETECT}/test_job_folders.py",),
    **_together("cliplab/datasets", "advise_alike advise_figures advise_labels advise_words", "advise_analysis"),
    **_together("cliplab/models", "comparison_choice", "comparison_choice"),
    **_together("cliplab/models", "accuracy_drop", "accuracy_drop"),
    **_together("cliplab/studio", "events", "event_bounds", "studio_store"),
    **_together(
        "cliplab/studio",
        "appending queries resolving state store store_connections store_reading",
        "studio_store",
        "studio_store_model",
    ),
    **_together("cliplab/studio", "agreement", "agreement"),
    **_together("cliplab/studio", "registry_versions", "registry_versions"),
    **_together("cliplab/studio", "diverse", "diverse"),
    **_together("cliplab/studio", "form_values model_form", "model_form"),
}
# Replacing one arithmetic operator by each other finds nothing that one replacement does not; bit operators are mostly
# the "|" of types.
OPERATORS = (
    *("AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("NumberReplacer", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub", "ExceptionReplacer"),
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Div"),
    *("ReplaceBinaryOperator_Div_Mul", "ReplaceBinaryOperator_FloorDiv_Mul", "ReplaceBinaryOperator_Mod_Mul"),
    *("ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq"),
    *("ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_Lt_GtE"),
    *("ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_Gt_LtE"),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
)


@dataclass(frozen=True)
class Mutant:
    """One change of one module. place: which of the operator's places in the module."""

    module: str
    operator: str
    place: int

    def code(self) -> str:
        """The module's text with the change."""
        code = mutate_code((ROOT / self.module).read_text(encoding="utf-8"), _operator(self.operator), self.place)
        assert code is not None
        return str(code)

    def difference(self) -> str:
        """The lines that changed."""
        source = (ROOT / self.module).read_text(encoding="utf-8")
        lines = difflib.unified_diff(source.splitlines(), self.code().splitlines(), n=0)
        return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def mutants_of(module: str) -> list[Mutant]:
    """Every mutant of a module."""
    nodes = list(ast_nodes(get_ast((ROOT / module).read_text(encoding="utf-8"))))
    found = []
    for name in OPERATORS:
        places = sum(len(list(_operator(name).mutation_positions(node))) for node in nodes)
        found += [Mutant(module, name, place) for place in range(places)]
    return found


def _operator(name: str) -> Operator:
    return get_operator(f"core/{name}")()


def sample(modules: list[str], count: int, seed: int) -> list[Mutant]:
    """Mutants by lot, the modules in turn, so that the first of them are spread over all modules."""
    piles = {module: mutants_of(module) for module in modules}
    for module, pile in piles.items():
        random.Random(f"{seed} {module}").shuffle(pile)
    turns = max(map(len, piles.values()), default=0)
    dealt = [pile[turn] for turn in range(turns) for pile in piles.values() if turn < len(pile)]
    return dealt[:count]


def copy_checkout(folder: Path) -> Path:
    """The tracked files, and new ones that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


class Bench:
    """A copy of the checkout in which one mutant at a time is tested."""

    def __init__(self, folder: Path) -> None:
        self.folder = copy_checkout(folder)
        # What the tests of a module take without a change; None where they fail.
        self.seconds: dict[tuple[str, ...], float | None] = {}

    def dies(self, mutant: Mutant) -> bool | None:
        """Whether a test fails, or does not end, with the mutant in place; None if one fails without it."""
        tests = MODULES[mutant.module]
        if tests not in self.seconds:
            began = time.monotonic()
            self.seconds[tests] = time.monotonic() - began if self._pass(tests, 1800) else None
        seconds = self.seconds[tests]
        if seconds is None:
            return None
        path = self.folder / mutant.module
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.code(), encoding="utf-8")
        try:
            return not self._pass(tests, 3 * seconds + 60)
        finally:
            path.write_text(original, encoding="utf-8")

    def _pass(self, tests: tuple[str, ...], seconds: float) -> bool:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
        environment = {
            "CLIPLAB_SHARED": str(ROOT.parent / "shared"),
            **os.environ,
            "PYTHONPATH": str(self.folder),
            # A module that changes twice in a second keeps its time and size, and Python would run the old one.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = subprocess.Popen(
            [*command, *(f"tests/{test}" for test in tests)],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the tests and every process that they have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(mutants: list[Mutant], jobs: int, minutes: float) -> Iterator[tuple[Mutant, bool | None]]:
    """Each mutant and whether it died, until all are tested or no more may begin. None: its tests fail without it."""
    end = time.monotonic() + minutes * 60
    with tempfile.TemporaryDirectory(prefix="mutants_") as name, ThreadPoolExecutor(jobs) as pool:
        benches: SimpleQueue[Bench] = SimpleQueue()
        for number in range(jobs):
            benches.put(Bench(Path(name, str(number), "cliplab")))

        def test(mutant: Mutant) -> list[tuple[Mutant, bool | None]]:
            if time.monotonic() > end:
                return []
            bench = benches.get()
            try:
                return [(mutant, bench.dies(mutant))]
            finally:
                benches.put(bench)

        for results in pool.map(test, mutants):
            yield from results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=120, help="mutants to test")
    parser.add_argument("--minutes", type=float, default=25, help="none begins later than this")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other mutants")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tested at the same time")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="default: all; a part of a path selects")
    given = parser.parse_args()
    unknown = [name for name in OPERATORS if f"core/{name}" not in operator_names()]
    assert not unknown, f"operators unknown to this Cosmic Ray: {unknown}"
    chosen = [module for module in MODULES if not given.modules or any(part in module for part in given.modules)]
    # So that each has its turn in some run: there are about as many modules as mutants that a run has time for.
    random.Random(given.seed).shuffle(chosen)
    tally: dict[str, list[bool]] = {}
    broken: set[str] = set()
    for mutant, died in run(sample(chosen, given.count, given.seed), given.jobs, given.minutes):
        if died is None:
            broken.add(mutant.module)
            continue
        tally.setdefault(mutant.module, []).append(died)
        print(f"{'died' if died else 'SURVIVED'}  {mutant.module}  {mutant.operator}", flush=True)
        if not died:
            print(mutant.difference(), flush=True)
    print()
    for module, results in tally.items():
        print(f"{sum(results):4} of {len(results):3}  {module}")
    tested = [died for results in tally.values() for died in results]
    share = sum(tested) / len(tested) if tested else 0.0
    print(f"{sum(tested):4} of {len(tested):3} mutants died: {share:.0%} (seed {given.seed})")
    if broken:
        raise SystemExit(f"tests fail without any change, so nothing is known of {', '.join(sorted(broken))}")


if __name__ == "__main__":
    main()
