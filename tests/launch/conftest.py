"""Runs of the real parent process, in folders of their own, beside a scripted exchange."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launch.scripted import Scripted, ScriptedRun
from tests.support.venue_script import ScriptedExchange


@pytest.fixture
def exchange() -> Iterator[ScriptedExchange]:
    with ScriptedExchange() as one:
        yield one


@pytest.fixture
def scripted(tmp_path: Path, exchange: ScriptedExchange) -> Iterator[Scripted]:
    made: list[ScriptedRun] = []

    def make(behaviour: str, **more: Any) -> ScriptedRun:
        made.append(ScriptedRun(tmp_path, behaviour, exchange, **more))
        return made[-1]

    yield make
    for one in made:
        one.clean_up()
