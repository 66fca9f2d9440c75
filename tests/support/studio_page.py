"""A studio on a free port and a browser that looks at it, for tests of the pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from waiting import until

CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def running_studio(folder: Path, **options: Any) -> Iterator[tuple[str, Any]]:
    """Serve the media of a folder. Yields the address and the studio."""
    import uvicorn

    from cliplab.studio.app import make_app
    from cliplab.studio.items import fill_items
    from cliplab.studio.options import StudioOptions
    from cliplab.studio.services import open_studio

    with open_studio(StudioOptions(folder, port=0, **options)) as studio:
        fill_items(studio.store, [])
        server = uvicorn.Server(uvicorn.Config(make_app(studio), host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", studio
        finally:
            studio.hub.close()
            server.should_exit = True
            thread.join(10)


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium; skips the test where it or Playwright is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip("needs apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield opened
        opened.close()
