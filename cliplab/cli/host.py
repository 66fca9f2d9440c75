"""Commands that serve models to others: host http, label-studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cliplab.cli.console import command, say, write_row
from cliplab.cli.options import AsJson, Model, Overrides, TrustAdapters, arg, opt, parsed

Decoders = Annotated[
    int | None,
    opt("N", "Processes that decode videos, apart from the host (default: one per worker); 0: the host decodes."),
]
DecoderMemory = Annotated[float, opt("MB", "Memory for decoding one video; limited on Linux only.")]
DecoderSeconds = Annotated[
    float | None, opt("S", "Time for decoding one video, without the model's (default: --timeout-seconds).")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    host = typer.Typer(help="Serve models to other programs.", no_args_is_help=True, rich_markup_mode=None)
    host.command("http")(command(host_http))
    host.command("label-studio")(command(host_label_studio))
    app.add_typer(host, name="host")


def host_http(
    models: Annotated[
        list[str],
        arg("MODEL", "A bundle directory, a .tflite, a config file or a ready config's name; NAME=MODEL to name it."),
    ],
    overrides: Overrides = None,
    host: Annotated[
        str, opt("HOST", "The address to listen on; others than this machine's need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, opt("N", "The port; 0 is one that the system chooses.")] = 8000,
    root: Annotated[
        Path | None, opt("DIR", "The folder of which requests may name files; default: only uploads.")
    ] = None,
    token_file: Annotated[
        Path | None, opt("FILE", "Holds the token that callers must show; default: CLIPLAB_TOKEN in the environment.")
    ] = None,
    max_body_mb: Annotated[float, opt("MB", "The largest upload.")] = 500,
    max_tensor_mb: Annotated[
        float, opt("MB", "The largest tensor request, also counted at the model's frame size.")
    ] = 64,
    queue: Annotated[
        int, opt("N", "Requests that wait for a worker; further requests get 429 Too Many Requests.")
    ] = 64,
    workers: Annotated[int | None, opt("N", "Requests computed at a time; default: one per core.")] = None,
    timeout_seconds: Annotated[float, opt("S", "For a request's body to arrive, and then for its answer.")] = 60,
    max_megapixels: Annotated[float, opt("MP", "The largest frame, in millions of pixels.")] = 10,
    max_streams: Annotated[int, opt("N", "WebSockets at a time.")] = 32,
    trust_adapters: TrustAdapters = None,
    max_windows: Annotated[int, opt("N", "The most windows that a video is cut into.")] = 10_000,
    decoders: Decoders = None,
    decoder_memory_mb: DecoderMemory = 800,
    decoder_seconds: DecoderSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Serve models over HTTP: tensors (Open Inference Protocol v2), videos, streams. Ctrl-C ends it."""
    from cliplab.models import host_http as serve

    def on_ready(url: str, names: tuple[str, ...]) -> None:
        if as_json:
            write_row({"url": url, "models": names})
        else:
            say(f"serving {', '.join(names)} at {url}")

    serve(
        models,
        overrides=parsed(overrides),
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
    host: Annotated[
        str, opt("HOST", "The address to listen on; others than this machine's need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, opt("N", "The port; 0 is one that the system chooses.")] = 9090,
    root: Annotated[
        Path | None, opt("DIR", "Label Studio's folder of local files; default: only uploads are read.")
    ] = None,
    label_studio_url: Annotated[
        str | None, opt("URL", "Where Label Studio is, for its uploads and annotations; default: only local files.")
    ] = None,
    label_studio_token_file: Annotated[
        Path | None, opt("FILE", "Holds an access token of Label Studio; default: LABEL_STUDIO_API_KEY.")
    ] = None,
    train_config: Annotated[
        str | None, opt("CONFIG", "What trainings start from: a config file or a ready config's name.")
    ] = None,
    train_output: Annotated[Path | None, opt("DIR", "The folder below which trainings write their models.")] = None,
    token_file: Annotated[
        Path | None, opt("FILE", "Holds the password that Label Studio must show; default: CLIPLAB_TOKEN.")
    ] = None,
    max_video_mb: Annotated[float, opt("MB", "The largest upload that is fetched.")] = 500,
    timeout_seconds: Annotated[float, opt("S", "For an answer; Label Studio itself waits for 100.")] = 100,
    trust_adapters: TrustAdapters = None,
    max_windows: Annotated[int, opt("N", "The most windows that a video is cut into.")] = 10_000,
    decoders: Decoders = None,
    decoder_memory_mb: DecoderMemory = 800,
    decoder_seconds: DecoderSeconds = None,
    as_json: AsJson = False,
) -> None:
    """Serve a model as Label Studio's ML backend: pre-labels, and trainings. Ctrl-C ends it."""
    from cliplab.models import host_label_studio as serve

    def on_ready(url: str) -> None:
        if as_json:
            write_row({"url": url})
        else:
            say(f"serving {model} to Label Studio at {url}")

    serve(
        model,
        overrides=parsed(overrides),
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
