"""The house rules that no linter checks: nothing heavy on the way to a prediction, every dependency declared."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import python
from places import ROOT
from tiny_videos import render_video

OURS = ("adapters", "movinet_adapter", "cliplab", "configs")
HEAVY = (
    *("tensorflow", "tf_keras", "keras", "sklearn", "matplotlib", "scipy", "pandas", "torch"),
    *("dtlpy", "mlflow", "ray", "starlette", "uvicorn", "opentimelineio", "imageio_ffmpeg"),
)


# What the studio's pages and the server of a fleet are made of; their commands import them.
WEB = ("starlette", "uvicorn")
WEB_FOLDERS = ("cliplab/studio", "cliplab/rollout/serving")


def modules() -> list[Path]:
    return sorted(path for name in OURS for path in (ROOT / name).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever in it, and in which line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide which package is meant"
            yield node.module or "", node.lineno


def test_no_module_is_named_after_a_package_that_is_imported() -> None:
    """adapters/ray.py would be found in place of ray where its folder leads the path."""
    names = {name.split(".")[0] for path in modules() for name, _ in imported(path)} - set(OURS)
    shadows = [str(path.relative_to(ROOT)) for path in modules() if path.stem in names | set(sys.stdlib_module_names)]
    assert not shadows


def test_heavy_packages_are_imported_inside_functions_only() -> None:
    early = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        if "hosts" not in path.parts
        for node in _run_at_import(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] in HEAVY and not (_is_web(path) and name.split(".")[0] in WEB)
    ]
    assert not early


def test_only_its_host_imports_a_platform() -> None:
    """A host is files and a folder named after its platform in adapters/hosts; all else works without the platform."""
    hosts = {"dtlpy": ("dataloop",), "mlflow": ("mlflow",), "ray": ("ray",), "starlette": ("http", "label_studio")}
    strays = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules()
        for name, line in imported(path)
        if (owners := hosts.get(name.split(".")[0]))
        and not (
            path.is_relative_to(ROOT / "adapters/hosts")
            and path.relative_to(ROOT / "adapters/hosts").parts[0].startswith(owners)
        )
        and not (_is_web(path) and name.split(".")[0] in WEB)
        # The registry lets MLflow keep its runs; that host serves models.
        and not (path == ROOT / "cliplab/registry/tracking.py" and name.split(".")[0] == "mlflow")
    ]
    assert not strays


def _is_web(path: Path) -> bool:
    return any(path.is_relative_to(ROOT / folder) for folder in WEB_FOLDERS)


def _run_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes that run when a module is imported: not those in functions, nor those for type checkers."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        yield node
        checked = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not checked and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            queue += ast.iter_child_nodes(node)


def loaded_after(code: str, *arguments: object) -> set[str]:
    """Top-level modules that a new process has loaded after some code."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = python(script, *arguments)
    assert done.exit_code == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_adapters_is_light() -> None:
    loaded = loaded_after("import adapters")
    assert not loaded & {*HEAVY, "numpy", "cv2", "av", "ai_edge_litert", "jsonschema", "yaml", "filelock"}


def test_importing_the_command_line_is_light() -> None:
    heavy = {*HEAVY, "numpy", "rich", "pydantic", "cv2", "av", "ai_edge_litert", "filelock"}
    assert not loaded_after("from cliplab.cli.app import make_app; make_app()") & heavy


def test_the_lazy_names_are_all_there() -> None:
    import adapters

    for name in adapters.__all__:
        assert getattr(adapters, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'predict_video'"):
        _ = adapters.predict_video


@pytest.mark.extras
def test_a_prediction_never_imports_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.inference import open_model

    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    model = open_model("efficientnet_lite0", {"weights": "random", "imgz": 64, "n_frames": 2})
    model.save(tmp_path / "bundle")
    video = render_video(tmp_path / "clip.mp4", "warm", 0)
    code = (
        "from cliplab.cli.app import program\n"
        "words = ['predict', *sys.argv[1:], '--json']\n"
        "try:\n    program(words)(words)\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code"
    )
    loaded = loaded_after(code, tmp_path / "bundle", video)
    assert "ai_edge_litert" in loaded
    assert not loaded & set(HEAVY)
    # What each costs tens of milliseconds and the answer does not need: values are checked without pydantic and
    # jsonschema, frames are decoded at the model's size, and --json draws no table.
    assert not loaded & {
        "pydantic",
        "jsonschema",
        "referencing",
        "cv2",
        "rich",
        "sqlite3",
        "http",
        "flatbuffers",
        "yaml",
    }
    assert not loaded & {"pickletools", "tarfile", "email", "csv"}


def requirements() -> dict[str, list[str]]:
    """The lists of setup.py by name: CORE, TRAIN, ..., DEV."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.List)
        and node.targets[0].id != "DATA"
    }


def distribution(text: str) -> str:
    """The name of a distribution, as PyPI compares names, from a requirement or an import."""
    found = re.match(r"[A-Za-z0-9._-]+", text)
    assert found is not None, text
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_the_extras_name_the_same_packages_as_requirements_txt() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert listed == requirements()["CORE"] + requirements()["LEARN"] + requirements()["TRAIN"]


# Imports whose distribution has another name.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "official": "tf-models-official",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# What is compared with the reference is for developers only.
FOR_DEVELOPERS = "movinet_adapter/reference.py"


def test_every_third_party_import_is_declared() -> None:
    lists = {name: {distribution(line) for line in lines} for name, lines in requirements().items()}
    for_users = set().union(*(names for name, names in lists.items() if name not in ("DEV", "TEST_ALL")))
    undeclared = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules()
        for name, line in imported(path)
        if (top := name.split(".")[0]) not in {*OURS, *sys.stdlib_module_names}
        and distribution(DISTRIBUTIONS.get(top, top))
        not in (for_users | lists["TEST_ALL"] if path == ROOT / FOR_DEVELOPERS else for_users)
    ]
    assert not undeclared


def test_what_an_adapter_can_do_is_asked_by_members_of_the_contract() -> None:
    """Never by its class, its attributes or its config's keys: another package's adapter must be asked the same way."""
    of_class = r"isinstance\([^()]*, \(?[^()]*Adapter\b|issubclass\("
    of_attribute = r"\b(get|has)attr\((\w+\.)*adapter\b|\"\w+\" in adapter\.config\b"
    asked = re.compile(f"{of_class}|{of_attribute}")
    allowed = {("adapters/base.py", "issubclass(")}  # where a config's class is found
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := asked.search(line)) and (str(path.relative_to(ROOT)), match[0]) not in allowed
    ]
    assert not found
