"""Scenes of a module run side by side, once; each test then says what became of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from maker.drills.stage import SIDE_BY_SIDE, play
from tests.live.support import measured


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exception | None]:
    """Play those scenes of the module's SCENES that a selected test asks for."""
    wanted = [
        str(item.callspec.params.get("scene", ""))
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    ]
    scenes = request.module.SCENES
    return play(
        {name: partial(scenes[name], tmp_path_factory.mktemp("live")) for name in wanted if name},
        getattr(request.module, "SIDE_BY_SIDE", SIDE_BY_SIDE),
    )


@pytest.fixture
def played(outcomes: dict[str, Exception | None]) -> Callable[[str], None]:
    """Raise what a scene ended with."""

    def check(name: str) -> None:
        failure = outcomes[name]
        if failure is not None:
            raise failure

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured: the bounds in the tests are promises, these are figures."""
    if measured:
        terminalreporter.section("measured, the longest of each, ms")
        for what, milliseconds in measured.items():
            terminalreporter.write_line(f"{milliseconds:10.1f}  {what}")
