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
    opt("DIR", "Folder of the models; default: CLIPLAB_DEVICE_MODELS, or the user's data."),
]
RegistryPlace = Annotated[
    str | None,
    opt("PATH|URL", "Registry: a folder, or postgresql://...; default: CLIPLAB_REGISTRY, or your own."),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    device = typer.Typer(help="Keep the models of this device up to date.", no_args_is_help=True, rich_markup_mode=None)
    device.command("run")(command(device_run))
    device.command("status")(command(device_status))
    app.add_typer(device, name="device")
    app.command("doctor")(command(doctor))


def register_in_registry(registry: typer.Typer) -> None:
    """Add the commands of ``cliplab registry`` that are about devices."""
    registry.command("serve")(command(registry_serve))
    devices = typer.Typer(
        help="Manage the devices that may use this registry.", no_args_is_help=True, rich_markup_mode=None
    )
    devices.command("add")(command(registry_device_add))
    devices.command("list")(command(registry_device_list))
    devices.command("remove")(command(registry_device_remove))
    registry.add_typer(devices, name="device")


def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A .tflite to check; default: check only this machine.")
    ] = None,
    golden: Annotated[
        Path | None,
        opt("BUNDLE", "Bundle that it was made from; default: X beside X.tflite."),
    ] = None,
    max_size_mb: Annotated[float, opt("MB", "Maximum file size for a device.")] = 10,
    trust_adapters: TrustAdapters = None,
    as_json: AsJson = False,
) -> int | None:
    """Check this machine, and whether a model runs on it. Exits with 1 if it does not."""
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
    name: Annotated[str, opt("NAME", "Name of this device, such as kitchen-01 (A-Z a-z 0-9 . _ -).")],
    registry: Annotated[str, opt("URL", "Address that `cliplab registry serve` prints.")],
    models: Models = None,
    environment: Annotated[str, opt("NAME", "Environment whose versions to use outside rollouts.")] = "production",
    only: Annotated[list[str] | None, opt("MODEL", "Only this model; repeatable; default: all.", "--only")] = None,
    token_file: Annotated[
        Path | None, opt("FILE", "File with this device's token; default: CLIPLAB_DEVICE_TOKEN.")
    ] = None,
    root: Annotated[
        Path | None,
        opt("FILE", "The registry's root.json, copied by hand; default: trust the first answer."),
    ] = None,
    ca: Annotated[
        Path | None,
        opt("FILE", "PEM file of who signed the registry's certificate; default: the system's."),
    ] = None,
    poll_seconds: Annotated[float, opt("S", "Time between two requests, in seconds.")] = 60,
    once: Annotated[bool, typer.Option("--once", help="Ask once, and exit with 1 if something failed.")] = False,
    as_json: AsJson = False,
) -> int | None:
    """Keep models up to date from a registry, and report how they work. SIGTERM or Ctrl-C ends it."""
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
        ca=ca,
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
        lines += list(done.problems) or (["the registry can be reached again"] if last.get("problems") else [])
    last["problems"] = list(done.problems)
    for line in lines:
        if line not in last.get("lines", ()):
            say(line)
    last["lines"] = lines


def device_status(models: Models = None, as_json: AsJson = False) -> int | None:
    """Show the models of this device, without asking the registry. Exits with 1 if a model is damaged."""
    from cliplab.rollout import device

    found = device.device_status(models)
    damaged = [name for name, item in found["models"].items() if not item["whole"]]
    if as_json:
        write_json(found)
        return FAILED if damaged else None
    from cliplab.cli.tables import problem, table

    rows = [
        (name, item["version"] or "-", item["previous"] or "-", "ok" if item["whole"] else "damaged")
        for name, item in found["models"].items()
    ]
    show(
        f"{found['name']} (client {found['client'][:8]}), {found['folder']}",
        table(("model", "in use", "before", "file"), rows),
        f"{found['reports_waiting']} reports are waiting; {found['disk_free_bytes'] // 1_000_000} MB are free",
        *[problem(f"{version}: {reason}") for version, reason in found["refused"].items()],
    )
    return FAILED if damaged else None


def registry_serve(
    registry: RegistryPlace = None,
    host: Annotated[
        str, opt("HOST", "Address to listen on; if other machines can reach it, devices need tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, opt("N", "Port; 0: the system chooses one.")] = 8470,
    publish: Annotated[
        bool, typer.Option("--publish/--no-publish", help="Renew signatures when they are due, if the keys are here.")
    ] = True,
    certificate: Annotated[Path | None, opt("FILE", "Certificate (PEM), for https.")] = None,
    key: Annotated[Path | None, opt("FILE", "Private key (PEM) of the certificate.")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve signed models to devices, and receive their reports. Ctrl-C ends it."""
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
    replace: Annotated[bool, typer.Option("--replace", help="Replace the device's token.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create a token for a device and print it. It is shown once: only its digest is kept."""
    from cliplab.rollout import serving

    token = serving.registry_device_add(name, registry, replace=replace)
    if as_json:
        write_json({"name": name, "token": token})
    else:
        show(token)
        say("Store it in a file that only the device's client can read, and pass that file as --token-file.")


def registry_device_list(registry: RegistryPlace = None, as_json: AsJson = False) -> None:
    """List the devices with tokens, and their last reports."""
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
    """Revoke the token of a device. Its reports are kept."""
    from cliplab.rollout import serving

    serving.registry_device_remove(name, registry)
    if as_json:
        write_json({"name": name, "removed": True})
    else:
        say(f"{name}: its token is refused from now on")
