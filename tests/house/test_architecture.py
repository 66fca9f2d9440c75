"""The house rules: which package may import which, nothing heavy on the way to a prediction."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import python
from places import ROOT
from tiny_videos import render_video

# What each of our packages may import of ours.
ARROWS = {
    "adapters": {"adapters", "configs"},
    "movinet_adapter": {"movinet_adapter", "adapters", "configs"},
    "cliplab": {"cliplab", "adapters", "configs"},
    "configs": set[str](),
}
HEAVY = (
    *("tensorflow", "tf_keras", "keras", "sklearn", "matplotlib", "scipy", "pandas", "torch"),
    *("dtlpy", "mlflow", "ray", "starlette", "uvicorn", "opentimelineio", "imageio_ffmpeg"),
)


def modules() -> list[Path]:
    return sorted(path for name in ARROWS for path in (ROOT / name).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever in it, and in which line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide which package is meant"
            yield node.module or "", node.lineno


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    crossed = [
        f"line {line}: {name}"
        for name, line in imported(path)
        if name.split(".")[0] in ARROWS and name.split(".")[0] not in ARROWS[own]
    ]
    assert not crossed, f"{own} may import only {sorted(ARROWS[own])} of ours"


def test_no_module_is_named_after_a_package_that_is_imported() -> None:
    """adapters/ray.py would be found in place of ray where its folder leads the path."""
    names = {name.split(".")[0] for path in modules() for name, _ in imported(path)} - set(ARROWS)
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
        if name.split(".")[0] in HEAVY
    ]
    assert not early


def test_only_its_host_imports_a_platform() -> None:
    """A host is files named after its platform in adapters/hosts; everything else works without the platform."""
    hosts = {"dtlpy": ("dataloop",), "mlflow": ("mlflow",), "ray": ("ray",), "starlette": ("http", "label_studio")}
    strays = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules()
        for name, line in imported(path)
        if (owners := hosts.get(name.split(".")[0]))
        and not (path.parent.name == "hosts" and path.name.startswith(owners))
    ]
    assert not strays


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
    assert not loaded & {*HEAVY, "numpy", "cv2", "av", "ai_edge_litert", "jsonschema", "yaml"}


def test_importing_the_command_line_is_light() -> None:
    assert not loaded_after("import cliplab.cli.app") & {*HEAVY, "cv2", "av", "ai_edge_litert"}


def test_the_lazy_names_are_all_there() -> None:
    import adapters

    for name in adapters.__all__:
        assert getattr(adapters, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'predict_video'"):
        _ = adapters.predict_video


def test_a_prediction_never_imports_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.inference.loading import open_model

    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    model = open_model("efficientnet_lite0", {"weights": "random", "imgz": 64, "n_frames": 2})
    model.save(tmp_path / "bundle")
    video = render_video(tmp_path / "clip.mp4", "warm", 0)
    code = (
        "from cliplab.cli.app import app\n"
        "try:\n    app(['predict', *sys.argv[1:], '--json'])\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code"
    )
    loaded = loaded_after(code, tmp_path / "bundle", video)
    assert "ai_edge_litert" in loaded
    assert not loaded & set(HEAVY)


def test_the_extras_name_the_same_packages_as_requirements_txt() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    lists = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.List)
    }
    assert listed == lists["CORE"] + lists["TRAIN"]


def test_every_third_party_import_is_declared() -> None:
    text = (ROOT / "setup.py").read_text(encoding="utf-8").replace("tf_keras", "tf-keras")
    called = {"cv2": "opencv-python-headless", "yaml": "pyyaml", "sklearn": "scikit-learn"}
    ours = [path for path in modules() if path.relative_to(ROOT).parts[0] != "movinet_adapter"]
    names = {name.split(".")[0] for path in ours for name, _ in imported(path)}
    foreign = names - set(ARROWS) - set(sys.stdlib_module_names)
    missing = [name for name in foreign if f'"{called.get(name, name.replace("_", "-"))}' not in text]
    assert not missing
