"""dtlpy, unmodified but for its pauses, logged in to a gateway."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dataloop_gateway.routes import token
from dataloop_gateway.server import Gateway

# What dtlpy sleeps is meant for a service that is far away: two seconds before each download of a dataset.
HURRIED = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: time.sleep(min(seconds, 0.02))})


@contextmanager
def logged_in(gateway: Gateway, home: Path) -> Iterator[Any]:
    """The module dtlpy, logged in to a gateway, with its files under ``home``; as it was before, afterwards.

    dtlpy keeps one client for the whole process, reads its home from DATALOOP_PATH when imported and keeps it in module
    variables; those are set here, so that it makes no difference who imported it first.
    """
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DATALOOP_PATH", str(home))
    import dtlpy as dl
    from dtlpy.repositories import commands, datasets
    from dtlpy.services import api_client, cookie, service_defaults

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATALOOP_PATH", str(home))
        patch.setattr(service_defaults, "DATALOOP_PATH", str(home))
        patch.setattr(cookie, "DATALOOP_PATH", str(home))
        for module in (commands, datasets):
            patch.setattr(module, "time", HURRIED)
        fresh = api_client.ApiClient()
        before = dict(vars(dl.client_api))
        vars(dl.client_api).clear()
        vars(dl.client_api).update(vars(fresh))
        dl.client_api.verbose.disable_progress_bar = True
        dl.client_api.sdk_cache.cache_path_bin = str(home)
        dl.client_api.add_environment(environment=gateway.url, alias="gateway", url=gateway.url)
        dl.setenv(gateway.url)
        dl.login_token(token())
        try:
            yield dl
        finally:
            vars(dl.client_api).clear()
            vars(dl.client_api).update(before)
