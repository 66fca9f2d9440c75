"""Flags of commands: what is only done where it is asked for, and defaults that two places name."""

from __future__ import annotations

import inspect
from dataclasses import fields

import make_references as docs
import pytest

from adapters.hosts.http_server.options import HttpOptions
from cliplab.api import host_http

LEAVES = {name.removeprefix("cliplab "): one for name, one in docs.commands() if not getattr(one, "commands", None)}
# What changes or removes something, or prints for a program, happens only on request.
ON_REQUEST = {"as_json", "force", "yes", "dry_run", "again", "retry_failed", "overwrite"}


@pytest.mark.parametrize("command", sorted(LEAVES))
def test_what_has_to_be_asked_for_is_off(command: str) -> None:
    for parameter in LEAVES[command].params:
        if parameter.name in ON_REQUEST:
            assert parameter.is_flag, parameter.name
            assert parameter.default is False, parameter.name
            assert parameter.opts[-1].startswith("-"), parameter.name


def test_a_server_of_the_command_has_the_limits_of_the_server() -> None:
    given = {name: one.default for name, one in inspect.signature(host_http).parameters.items()}
    shared = [one for one in fields(HttpOptions) if one.name in given]
    assert len(shared) >= 13
    assert {one.name: given[one.name] for one in shared} == {one.name: one.default for one in shared}
