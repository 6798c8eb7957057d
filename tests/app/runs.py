"""A run's parts over the scripted site, without its nurseries, and the errors and trips it may end by."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Any

import trio

from maker.app.config import load
from maker.app.wiring import Route, Run
from maker.desk.deadman import Reason, Trip
from maker.edge.endpoint import Endpoint
from maker.errors import Unauthorized
from tests.app.site import Stage
from tests.desk.scripted import Desk

CONFIG = load(Path(__file__).parents[2] / "conf" / "paper.toml", "http://ocx.test", "ws://ocx.test")
ENDPOINT = Endpoint("ocx.test", 80, None, "", ((socket.AF_INET, ("192.0.2.1", 80)),))
ASKED = Trip(Reason.STOP_ASKED, "SIGTERM")
BUG = ZeroDivisionError("a bug")
FORBIDDEN = Unauthorized(401, "NO", "expired")
GROUP = ExceptionGroup("tasks", [ExceptionGroup("more", [FORBIDDEN]), ValueError("later")])


def a_run(stage: Stage, **fields: Any) -> Run:
    lane = stage.site.lane("quoting")
    return Run(
        config=CONFIG,
        recorder=stage.told.recorder,
        engine=stage.desk.engine,
        switch=stage.switch,
        client=stage.client,
        route=Route("http://ocx.test", ENDPOINT),
        quoting_lane=lane,
        quoting=trio.CancelScope(),
        rng=random.Random(0),
        **fields,
    )


def exposed() -> Desk:
    desk = Desk.ready()
    desk.quote()
    return desk
