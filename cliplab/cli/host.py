"""Commands that serve models to others: host http, label-studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cliplab.cli.console import command, say, write_row
from cliplab.cli.options import AsJson, Device, Model, Overrides, Threads, TrustAdapters, arg, opt, parsed

Decoders = Annotated[
    int | None,
    opt("N", "Processes that decode videos; 0: none; default: one per worker."),
]
DecoderMemory = Annotated[float, opt("MB", "Memory limit for decoding one video (Linux only).")]
DecoderSeconds = Annotated[float | None, opt("S", "Time limit for decoding one video; default: --timeout-seconds.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    host = typer.Typer(help="Serve models to other programs.", no_args_is_help=True, rich_markup_mode=None)
    host.command("http")(command(host_http))
    host.command("label-studio")(command(host_label_studio))
    app.add_typer(host, name="host")


def host_http(
    models: Annotated[
        list[str],
        arg("MODEL", "A bundle, a .tflite, a config file or a ready config; NAME=MODEL names it."),
    ],
    overrides: Overrides = None,
    device_option: Device = None,
    threads_option: Threads = None,
    host: Annotated[
        str, opt("HOST", "Address to listen on; addresses that other machines can reach need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, opt("N", "Port; 0: the system chooses one.")] = 8000,
    root: Annotated[Path | None, opt("DIR", "Folder whose files requests may use; default: uploads only.")] = None,
    token_file: Annotated[
        Path | None, opt("FILE", "File with the token that clients must send; default: CLIPLAB_TOKEN.")
    ] = None,
    max_body_mb: Annotated[float, opt("MB", "Maximum size of an upload.")] = 500,
    max_tensor_mb: Annotated[float, opt("MB", "Maximum size of a tensor request.")] = 64,
    queue: Annotated[int, opt("N", "Requests that may wait; further ones get 429.")] = 64,
    workers: Annotated[int | None, opt("N", "Requests computed in parallel; default: one per core.")] = None,
    timeout_seconds: Annotated[float, opt("S", "Time limit for a request's body, and for its response.")] = 60,
    max_megapixels: Annotated[float, opt("MP", "Maximum frame size, in millions of pixels.")] = 10,
    max_streams: Annotated[int, opt("N", "Maximum number of open WebSockets.")] = 32,
    trust_adapters: TrustAdapters = None,
    max_windows: Annotated[int, opt("N", "Maximum number of windows per video.")] = 10_000,
    decoders: Decoders = None,
    decoder_memory_mb: DecoderMemory = 800,
    decoder_seconds: DecoderSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Serve models over HTTP for videos, tensors and streams. Ctrl-C ends it."""
    from cliplab.models import host_http as serve

    def on_ready(url: str, names: tuple[str, ...]) -> None:
        if as_json:
            write_row({"url": url, "models": names})
        else:
            say(f"serving {', '.join(names)} at {url}")

    serve(
        models,
        overrides=parsed(overrides, device_option, threads_option),
        host=host,
        port=port,
        root=root,
        token_file=token_file,
        max_body_mb=max_body_mb,
        max_tensor_mb=max_tensor_mb,
        queue=queue,
        workers=workers,
        timeout_seconds=timeout_seconds,
        max_megapixels=max_megapixels,
        max_streams=max_streams,
        trust_adapters=trust_adapters or (),
        max_windows=max_windows,
        decoders=decoders,
        decoder_memory_mb=decoder_memory_mb,
        decoder_seconds=decoder_seconds,
        on_ready=on_ready,
    )


def host_label_studio(
    model: Model,
    overrides: Overrides = None,
    device_option: Device = None,
    threads_option: Threads = None,
    host: Annotated[
        str, opt("HOST", "Address to listen on; addresses that other machines can reach need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, opt("N", "Port; 0: the system chooses one.")] = 9090,
    root: Annotated[Path | None, opt("DIR", "Label Studio's folder of local files; default: uploads only.")] = None,
    label_studio_url: Annotated[str | None, opt("URL", "Address of Label Studio; default: local files only.")] = None,
    label_studio_token_file: Annotated[
        Path | None, opt("FILE", "File with its access token; default: LABEL_STUDIO_API_KEY.")
    ] = None,
    train_config: Annotated[str | None, opt("CONFIG", "Config that trainings start from.")] = None,
    train_output: Annotated[Path | None, opt("DIR", "Folder for the models of trainings.")] = None,
    token_file: Annotated[
        Path | None, opt("FILE", "File with Label Studio's password; default: CLIPLAB_TOKEN.")
    ] = None,
    max_video_mb: Annotated[float, opt("MB", "Maximum size of a video.")] = 500,
    timeout_seconds: Annotated[float, opt("S", "Time limit for a response; Label Studio waits for 100 s.")] = 100,
    trust_adapters: TrustAdapters = None,
    max_windows: Annotated[int, opt("N", "Maximum number of windows per video.")] = 10_000,
    decoders: Decoders = None,
    decoder_memory_mb: DecoderMemory = 800,
    decoder_seconds: DecoderSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Serve a model to Label Studio, which gets pre-labels and trains it. Ctrl-C ends it."""
    from cliplab.models import host_label_studio as serve

    def on_ready(url: str) -> None:
        if as_json:
            write_row({"url": url})
        else:
            say(f"serving {model} to Label Studio at {url}")

    serve(
        model,
        overrides=parsed(overrides, device_option, threads_option),
        host=host,
        port=port,
        root=root,
        label_studio_url=label_studio_url,
        label_studio_token_file=label_studio_token_file,
        train_config=train_config,
        train_output=train_output,
        token_file=token_file,
        max_video_mb=max_video_mb,
        timeout_seconds=timeout_seconds,
        trust_adapters=trust_adapters or (),
        max_windows=max_windows,
        decoders=decoders,
        decoder_memory_mb=decoder_memory_mb,
        decoder_seconds=decoder_seconds,
        on_ready=on_ready,
    )
