"""Who may use the studio: attacks on each rule."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs pip install 'cliplab[studio]'")
pytest.importorskip("jinja2", reason="needs pip install 'cliplab[studio]'")

from starlette.testclient import TestClient

from adapters.errors import ConfigError
from adapters.hosts.http_server.errors import RequestError
from cliplab.studio.app import make_app
from cliplab.studio.context import STATIC, Studio, shown
from cliplab.studio.options import StudioOptions
from cliplab.studio.routes import page_modules
from cliplab.studio.security import inside

TOKEN = "a-token-of-at-least-16"


def client_of(tmp_path: Path, token: str | None = None) -> tuple[TestClient, Studio]:
    host = "127.0.0.1" if token is None else "0.0.0.0"
    studio = Studio(StudioOptions(tmp_path, host=host, token=token), None, None, None)
    base = "http://127.0.0.1:8080" if token is None else "http://studio.lan:8080"
    return TestClient(make_app(studio), base_url=base), studio


def test_other_machines_need_a_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="token"):
        StudioOptions(tmp_path, host="0.0.0.0")
    with pytest.raises(ConfigError, match="16"):
        StudioOptions(tmp_path, host="0.0.0.0", token="short")


def test_a_name_that_resolves_to_loopback_is_refused(tmp_path: Path) -> None:
    client, _ = client_of(tmp_path)
    assert client.get("/session").status_code == 200
    assert client.get("/session", headers={"Host": "evil.example:8080"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_other_sites_cannot_ask(tmp_path: Path, headers: dict[str, str]) -> None:
    client, studio = client_of(tmp_path)
    write = {"X-CSRF-Token": studio.csrf, **headers}
    assert client.post("/token", json={"token": "x"}, headers=write).status_code == 403
    assert client.get("/session", headers=headers).status_code == 403


def test_a_link_from_elsewhere_opens_the_studio(tmp_path: Path) -> None:
    client, _ = client_of(tmp_path)
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/session", headers=headers).status_code == 200


def test_writes_need_the_csrf_header(tmp_path: Path) -> None:
    client, studio = client_of(tmp_path)
    refused = client.post("/events", json={})
    assert refused.status_code == 403
    assert refused.headers["x-csrf"] == "stale"
    for wrong in ("", studio.csrf[:-1], "ü"):
        assert client.post("/events", json={}, headers={"X-CSRF-Token": wrong.encode()}).status_code == 403
    assert client.get("/session").json()["csrf"] == studio.csrf


def test_token_becomes_a_strict_cookie(tmp_path: Path) -> None:
    client, _ = client_of(tmp_path, TOKEN)
    assert client.get("/session").status_code == 401
    page = client.get("/label", headers={"Accept": "text/html"})
    assert page.status_code == 401
    assert "token" in page.text
    assert client.get("/static/token.js").status_code == 200
    assert client.post("/token", json={"token": TOKEN[:-1]}).status_code == 403
    accepted = client.post("/token", json={"token": TOKEN})
    cookie = accepted.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/session").status_code == 200
    client.cookies.clear()
    assert client.get("/session", headers={"Cookie": b"cliplab_studio_8080=\xfc;"}).status_code == 401
    log = (tmp_path / "studio_audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in log].count("token accepted") == 1
    assert TOKEN not in "".join(log)


def test_bodies_are_bounded(tmp_path: Path) -> None:
    client, studio = client_of(tmp_path)
    headers = {"X-CSRF-Token": studio.csrf}
    assert client.post("/token", content=b"x" * 1_000_001, headers=headers).status_code == 413
    assert client.post("/token", content=iter([b"x"]), headers=headers).status_code == 411
    assert client.post("/token", content=b"[" * 100_000, headers=headers).status_code == 400
    assert client.post("/token", content=b"\xff{}", headers=headers).status_code == 400
    assert client.post("/token", content=b"[]", headers=headers).status_code == 400


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "//etc/passwd"]
)
def test_no_file_outside_of_static(tmp_path: Path, path: str) -> None:
    client, _ = client_of(tmp_path)
    assert client.get(path).status_code in (400, 404)


def test_no_path_outside_of_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    _, studio = client_of(root)
    assert inside(studio, "a/b.jpg") == root / "a/b.jpg"
    for path in ("..", "../x", "/etc/passwd", "link/x", "a/../../x", f"{root}x"):
        with pytest.raises(RequestError, match="outside"):
            inside(studio, path)
    with pytest.raises(RequestError, match="path"):
        inside(studio, "a\0b")


def test_every_answer_has_the_headers(tmp_path: Path) -> None:
    client, _ = client_of(tmp_path)
    for path in ("/label", "/nothing", "/static/studio.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_audit_does_not_follow_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    data = tmp_path / "data"
    data.mkdir()
    (data / "studio_audit.jsonl").symlink_to(victim)
    client, _ = client_of(data)
    assert client.post("/events", json={}).status_code == 403
    assert victim.read_text() == "mine"


def test_names_are_shown_harmlessly() -> None:
    assert shown("a\nb\u202ec\x1b[31m") == "a\\nb\\u202ec\\x1b[31m"
    assert shown(b"\xff".decode(errors="surrogateescape")) == "\\udcff"


def test_vendored_libraries_are_those_declared() -> None:
    folder = STATIC / "vendor"
    declared = json.loads((folder / "vendored.json").read_text())
    files = {"vendored.json"}
    for library in declared:
        assert (folder / library["licence_file"]).stat().st_size > 300
        files.add(library["licence_file"])
        for name, digest in library["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
            files.add(name)
    assert {path.name for path in folder.iterdir()} == files


def test_templates_have_no_inline_script_or_style() -> None:
    for path in (STATIC.parent / "templates").glob("*.html"):
        text = path.read_text()
        assert "<style" not in text, path
        assert " style=" not in text, path
        assert " onclick" not in text, path
        assert "|safe" not in text.replace(" ", ""), path
        for tag in text.split("<script")[1:]:
            assert "src=" in tag.split(">")[0], path


def test_a_number_of_any_length_in_an_address_is_refused(tmp_path: Path) -> None:
    client, studio = client_of(tmp_path)
    assert studio.pages
    for module in page_modules():
        for route in vars(module)["ROUTES"]:
            if ":" in route.path:
                for number in ("9" * 19, "9" * 5000):
                    assert client.get(re.sub(r"\{.*?\}", number, route.path)).status_code == 404, route.path
