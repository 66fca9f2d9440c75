"""The examples on the pages about adding an adapter, a host and a dataset format run as they are printed."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from command_line import python
from environment import environment
from places import ROOT, SUPPORT
from tiny_adapter import TinyAdapter
from tiny_videos import render_video

from adapters.inference import open_model, predict_videos


def example(page: str, start: str) -> str:
    """The code block of a page that begins with a text."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (found,) = [block for block in re.findall(r"```\w+\n(.*?)```", text, re.S) if block.lstrip().startswith(start)]
    return str(found)


def module(path: Path, code: str) -> ModuleType:
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_contract_suite_of_the_adapter_page_passes(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(example("adding_an_adapter.md", '{"schema_version"'))
    (tmp_path / "test_tiny.py").write_text(example("adding_an_adapter.md", "from adapters.testing"))
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d\d passed", done.stdout), done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize(
    "broken, failing",
    [
        ("return super().predict(batch)[:1]", "test_predict_answers_each_clip"),
        ("return super().predict(batch[::-1])", "test_a_clip_scores_the_same_alone_and_in_a_batch"),
    ],
)
def test_the_contract_suite_finds_an_adapter_that_breaks_it(tmp_path: Path, broken: str, failing: str) -> None:
    code = "from tiny_adapter import TinyAdapter\nclass Broken(TinyAdapter):\n    def predict(self, batch):\n"
    (tmp_path / "broken_adapter.py").write_text(f"{code}        {broken}\n")
    (tmp_path / "tiny.json").write_text('{"schema_version": 2, "adapter": "broken_adapter:Broken"}')
    suite = example("adding_an_adapter.md", "from adapters.testing")
    (tmp_path / "test_tiny.py").write_text(suite.replace("tiny_adapter:TinyAdapter", "broken_adapter:Broken"))
    done = run_pytest(tmp_path)
    assert done.returncode == 1, done.stdout
    assert failing in done.stdout


def run_pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, (ROOT, SUPPORT, folder)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_tiny.py"]
    return subprocess.run(
        command, cwd=folder, env=environment(PYTHONPATH=path), capture_output=True, text=True, check=False
    )


def test_the_dataset_format_of_its_page_is_one_file_and_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "adapters", tmp_path / "adapters", ignore=shutil.ignore_patterns("__pycache__"))
    formats = tmp_path / "adapters" / "data" / "formats"
    (formats / "split_list.py").write_text(example("adding_a_dataset_format.md", '"""Split lists'))
    table, line = formats / "__init__.py", example("adding_a_dataset_format.md", '"split_list"')
    table.write_text(re.sub(r'(\n    "dataloop": .*\n)', rf"\1{line}", table.read_text()))
    (tmp_path / "train.lst").write_text("day/a.mp4 ad\nday/b c.mp4 content\n")
    code = (
        "import adapters\nfrom adapters.data import detect_format, export_dataset, read_dataset\n"
        "dataset = read_dataset('train.lst')\n"
        "print(adapters.__file__, detect_format('train.lst')[0], dataset.labels)\n"
        "export_dataset(dataset, 'again.lst', 'split_list')\nread_dataset('bad.lst')\n"
    )
    (tmp_path / "bad.lst").write_text("a.mp4\n")
    ran = python(code, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert ran.stdout.split("\n")[0] == f"{tmp_path / 'adapters/__init__.py'} split_list ('ad', 'content')", ran.stderr
    assert (tmp_path / "again.lst").read_text() == (tmp_path / "train.lst").read_text()
    assert "DatasetError" in ran.stderr
    assert "bad.lst, line 1" in ran.stderr


def test_the_host_of_its_page_gives_the_scores_of_a_direct_prediction(tmp_path: Path) -> None:
    TinyAdapter({}).save(tmp_path / "bundle")
    video = render_video(tmp_path / "a.mp4", "warm", 0)
    host = module(tmp_path / "lines_host.py", example("adding_a_host.md", '"""Lines'))
    answers = io.StringIO()
    host.serve(tmp_path / "bundle", [f"{video}\n", "\n", f"{tmp_path / 'absent.mp4'}\n"], answers)
    first, second = map(json.loads, answers.getvalue().splitlines())
    model = open_model(tmp_path / "bundle")
    (expected,) = predict_videos(model, [video])
    assert first == json.loads(json.dumps(expected.to_json(top_k=model.config["top_k"])))
    assert "absent.mp4" in second["error"]
