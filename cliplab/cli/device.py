"""Commands of a device and for devices: device run, device status, registry serve, registry device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cliplab.cli.console import FAILED, command, say, show, write_json, write_row
from cliplab.cli.machine import machine_text
from cliplab.cli.options import AsJson, TrustAdapters, arg, opt

if TYPE_CHECKING:
    from cliplab.rollout.device import Round

Models = Annotated[
    Path | None,
    opt("DIR", "The folder of this device's models (default: CLIPLAB_DEVICE_MODELS, else the user's data)."),
]
RegistryPlace = Annotated[
    str | None, opt("PATH_OR_URL", "The registry: a folder, or postgresql://... (default: CLIPLAB_REGISTRY).")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    device = typer.Typer(help="Keep this device's models current.", no_args_is_help=True, rich_markup_mode=None)
    device.command("run")(command(device_run))
    device.command("status")(command(device_status))
    app.add_typer(device, name="device")
    app.command("doctor")(command(doctor))


def register_in_registry(registry: typer.Typer) -> None:
    """Add the commands of ``cliplab registry`` that are about devices."""
    registry.command("serve")(command(registry_serve))
    devices = typer.Typer(help="The devices that may ask this registry.", no_args_is_help=True, rich_markup_mode=None)
    devices.command("add")(command(registry_device_add))
    devices.command("list")(command(registry_device_list))
    devices.command("remove")(command(registry_device_remove))
    registry.add_typer(devices, name="device")


def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A .tflite to examine; without it, only this machine.")
    ] = None,
    golden: Annotated[
        Path | None,
        opt("BUNDLE", "The bundle that it was made from, for its golden scores (default: X beside X.tflite)."),
    ] = None,
    max_size_mb: Annotated[float, opt("MB", "The largest file that is good for a device.")] = 10,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Say whether a model will load and run on this machine, and why not. Exits with 1 if it will not."""
    from cliplab import models

    report = models.doctor(file, golden=golden, max_size_mb=max_size_mb, trust_adapters=trust_adapters or ())
    if as_json:
        write_json(report.to_json())
    else:
        from rich.text import Text

        from cliplab.cli.tables import table

        colours = {"good": "green", "warning": "yellow", "bad": "red"}
        rows = [(Text(item.state, style=colours[item.state]), item.name, item.found) for item in report.findings]
        show(
            table(("", "what", "found"), rows),
            *[f"{item.name}: {item.advice}" for item in report.findings if item.advice],
            *([] if report.machine is None else machine_text(report.machine)),
        )
    return None if report.good else FAILED


def device_run(
    name: Annotated[str, opt("NAME", "What this device is called: A-Z a-z 0-9 . _ -, such as kitchen-01.")],
    registry: Annotated[str, opt("URL", "The address that `cliplab registry serve` prints.")],
    models: Models = None,
    environment: Annotated[str, opt("NAME", "Which environment's versions to run outside of rollouts.")] = "production",
    only: Annotated[
        list[str] | None, opt("MODEL", "Only this model; may be given again (default: all).", "--only")
    ] = None,
    token_file: Annotated[
        Path | None, opt("FILE", "Holds this device's token (default: CLIPLAB_DEVICE_TOKEN, else none).")
    ] = None,
    root: Annotated[
        Path | None,
        opt("FILE", "The registry's root.json, copied here by hand (default: trust that of the first contact)."),
    ] = None,
    poll_seconds: Annotated[float, opt("S", "Time between two looks at the registry.")] = 60,
    once: Annotated[bool, typer.Option("--once", help="Look once, and exit with 1 if anything went wrong.")] = False,
    as_json: AsJson = False,
) -> int | None:
    """Keep models current by what a registry signs, and report how they do. SIGTERM or Ctrl-C ends it."""
    from cliplab.rollout import device

    last: dict[str, Any] = {}

    def on_round(done: Round) -> None:
        if as_json:
            write_row(done.to_json())
        else:
            _say_round(done, last)

    done = device.device_run(
        name,
        registry,
        models,
        environment=environment,
        only=only or (),
        token_file=token_file,
        root=root,
        poll_seconds=poll_seconds,
        once=once,
        on_round=on_round,
    )
    return FAILED if once and done.problems else None


def _say_round(done: Round, last: dict[str, Any]) -> None:
    """What is new since the last round; a client that runs for months must not fill a log."""
    lines = [f"{name} {item.version or '-'}: {item.message}" for name, item in done.models.items() if item.message]
    if not last:
        lines += [f"{name}: {item.version}" for name, item in done.models.items() if not item.message]
    lines += list(done.warnings)
    if list(done.problems) != last.get("problems"):
        lines += list(done.problems) or (["the registry answers again"] if last.get("problems") else [])
    last["problems"] = list(done.problems)
    for line in lines:
        if line not in last.get("lines", ()):
            say(line)
    last["lines"] = lines


def device_status(models: Models = None, as_json: AsJson = False) -> int | None:
    """Show what is on this device, without asking the registry. Exits with 1 where a model's file is damaged."""
    from cliplab.rollout import device

    found = device.device_status(models)
    damaged = [name for name, item in found["models"].items() if not item["whole"]]
    if as_json:
        write_json(found)
        return FAILED if damaged else None
    from cliplab.cli.tables import problem, table

    rows = [
        (name, item["version"] or "-", item["previous"] or "-", "whole" if item["whole"] else "damaged")
        for name, item in found["models"].items()
    ]
    show(
        f"{found['name']} (client {found['client'][:8]}), {found['folder']}",
        table(("model", "in use", "before", "file"), rows),
        f"{found['reports_waiting']} reports wait; {found['disk_free_bytes'] // 1_000_000} MB are free",
        *[problem(f"{version}: {reason}") for version, reason in found["refused"].items()],
    )
    return FAILED if damaged else None


def registry_serve(
    registry: RegistryPlace = None,
    host: Annotated[
        str, opt("HOST", "The address to listen on; on others than this machine's each device needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, opt("N", "The port; 0 lets the system choose one.")] = 8470,
    publish: Annotated[
        bool, typer.Option("--publish/--no-publish", help="Sign again what is due, where the keys are on this machine.")
    ] = True,
    certificate: Annotated[Path | None, opt("FILE", "PEM certificate, for https.")] = None,
    key: Annotated[Path | None, opt("FILE", "PEM private key of the certificate.")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the signed models of a registry to devices, and take their reports. Ctrl-C ends it."""
    from cliplab.rollout import serving

    def on_ready(url: str) -> None:
        if as_json:
            write_row({"url": url})
        else:
            say(f"serving at {url}")

    serving.registry_serve(
        registry,
        host=host,
        port=port,
        publish=publish,
        certificate=certificate,
        key=key,
        on_ready=on_ready,
        on_warning=say,
    )


def registry_device_add(
    name: Annotated[str, arg("NAME", "The device's name.")],
    registry: RegistryPlace = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the token that it has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a device's token and print it. It is shown once: the registry keeps its digest only."""
    from cliplab.rollout import serving

    token = serving.registry_device_add(name, registry, replace=replace)
    if as_json:
        write_json({"name": name, "token": token})
    else:
        show(token)
        say("Put it in a file that only the device's client can read, and give that as --token-file.")


def registry_device_list(registry: RegistryPlace = None, as_json: AsJson = False) -> None:
    """List the devices that have tokens, with their last reports."""
    from cliplab.rollout import serving

    devices = serving.registry_device_list(registry)
    if as_json:
        write_json(devices)
        return
    from cliplab.cli.tables import table

    rows = [
        (
            item["name"],
            item["token_since"] or "-",
            item["last_seen"] or "never",
            ", ".join(f"{model} {version}" for model, version in item["versions"].items()) or "-",
            item["warning"] or "",
        )
        for item in devices
    ]
    show(table(("device", "token since", "last report", "versions", ""), rows))


def registry_device_remove(
    name: Annotated[str, arg("NAME", "The device's name.")], registry: RegistryPlace = None, as_json: AsJson = False
) -> None:
    """Refuse a device's token from now on. Its reports stay."""
    from cliplab.rollout import serving

    serving.registry_device_remove(name, registry)
    if as_json:
        write_json({"name": name, "removed": True})
    else:
        say(f"{name}: its token is refused from now on")
