"""The options of `tuner serve` about limits; docs/limits.md tells what each does."""

from __future__ import annotations

from typing import Annotated

import typer

RateLimit = Annotated[
    float,
    typer.Option(
        min=0.0,
        metavar="N",
        help="Requests a second of one token, or of an address without; 0: no limit.",
    ),
]
WorkerRateLimit = Annotated[
    float, typer.Option(min=0.0, metavar="N", help="The same for the routes that workers use.")
]
HeaderTimeout = Annotated[
    float,
    typer.Option(
        min=0.05,
        metavar="SECONDS",
        help="Time for a request's head, or a TLS handshake, to arrive.",
    ),
]
IdleTimeout = Annotated[
    float, typer.Option(min=0.05, metavar="SECONDS", help="Time a body may pause while it arrives.")
]
Connections = Annotated[int, typer.Option(min=1, metavar="N", help="Open connections.")]
Polls = Annotated[int, typer.Option(min=1, metavar="N", help="Long polls at once.")]
PollsEach = Annotated[
    int, typer.Option(min=1, metavar="N", help="Long polls at once of one token.")
]
Streams = Annotated[int, typer.Option(min=1, metavar="N", help="Event streams at once.")]
StreamsEach = Annotated[
    int, typer.Option(min=1, metavar="N", help="Event streams at once of one token.")
]
WrongTokens = Annotated[
    int, typer.Option(min=1, metavar="N", help="Wrong tokens an address may send at once.")
]
StreamHeartbeat = Annotated[
    float, typer.Option(min=0.05, metavar="SECONDS", help="Longest silence of an event stream.")
]
StreamQueue = Annotated[
    int,
    typer.Option(
        min=10_000, metavar="BYTES", help="What may wait for one listener before it is cut off."
    ),
]
LogBytes = Annotated[
    int,
    typer.Option(min=16_384, metavar="BYTES", help="What is kept of one attempt's output."),
]
MaxArtifact = Annotated[
    int, typer.Option(min=1, metavar="BYTES", help="Largest file that a trial may keep.")
]
ArtifactsEach = Annotated[
    int, typer.Option(min=0, metavar="N", help="Files that one trial may keep.")
]
Quotas = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PROJECT:KIND=N",
        help="What a project may use: parallel, queued, artifact_bytes; repeatable; * for each.",
    ),
]
