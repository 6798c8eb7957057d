"""`alert-test`: one message to each target, a line each, and an exit code; once over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from maker import __main__ as program
from maker.edge.notice import Reply
from maker.errors import ExitCode
from maker.monitor.alert_test import WAIT_SECONDS_MAX, try_all
from tests.monitor.doors import LOST, OK, WHO, Door, told, wall

CONF = Path(__file__).parents[2] / "conf" / "paper.toml"


@pytest.fixture
def hook() -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """A receiver on loopback: /well takes everything, anything else is not there."""
    received: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, json.loads(body)))
            self.send_response(200 if self.path.startswith(("/well", "/bot")) else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    server.server_close()


def configured(folder: Path, *tables: str) -> Path:
    path = folder / "paper.toml"
    text = CONF.read_text()
    path.write_text(text.replace("[market.BTC-PERP]\n", "\n".join([*tables, "[market.BTC-PERP]\n"]), 1))
    return path


def test_each_target_is_told_and_each_outcome_said(
    tmp_path: Path,
    hook: tuple[str, list[tuple[str, dict[str, Any]]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, received = hook
    monkeypatch.setenv("WELL", f"{url}/well/canary")
    monkeypatch.setenv("GONE", f"{url}/gone/canary")
    monkeypatch.setenv("BOT", "1:canary")
    conf = configured(
        tmp_path,
        '[alerts.targets.well]\nkind = "slack"\nurl_env = "WELL"\nseverity_min = "critical"',
        '[alerts.targets.gone]\nkind = "discord"\nurl_env = "GONE"',
        f'[alerts.targets.bot]\nkind = "telegram"\ntoken_env = "BOT"\nchat = "7"\napi_url = "{url}"',
    )
    assert program.main(["alert-test", str(conf)]) == ExitCode.FAILURES_FOUND
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" (0")[0].partition(" (1")[0] for line in lines] == [
        "told    well (slack): answered 200: it took the message",
        "FAILED  gone (discord): answered 404: there is nothing at its address any more",
        "told    bot (telegram): answered 200: it took the message",
        "2 of 3 targets were told",
    ]
    assert "canary" not in "\n".join(lines)
    assert {path for path, _ in received} == {"/well/canary", "/gone/canary", "/bot1:canary/sendMessage"}
    assert all("[test] test" in json.dumps(message) or "test" in json.dumps(message) for _, message in received)

    assert program.main(["alert-test", str(conf), "--json"]) == ExitCode.FAILURES_FOUND
    said = json.loads(capsys.readouterr().out)
    assert (said["exit_code"], said["reason"]) == (1, "2 of 3 targets were told")
    assert [(row["target"], row["delivered"]) for row in said["targets"]] == [
        ("well", True),
        ("gone", False),
        ("bot", True),
    ]


def test_a_configuration_without_targets_says_how_to_have_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["alert-test", str(configured(tmp_path))]) == ExitCode.REFUSED_TO_START
    assert "alerts.targets: has none. Add an [alerts.targets.NAME]" in capsys.readouterr().out


def test_a_secret_that_is_not_there_is_named_by_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = configured(tmp_path, '[alerts.targets.ops]\nkind = "slack"\nurl_env = "MAKER_NO_SUCH_VARIABLE"')
    assert program.main(["alert-test", str(conf), "--json"]) == ExitCode.REFUSED_TO_START
    assert "alerts.targets.ops.url_env" in json.loads(capsys.readouterr().out)["reason"]


async def test_a_target_that_asks_to_wait_a_little_is_asked_again(autojump_clock: trio.testing.MockClock) -> None:
    patient, long, lost = Door([Reply(429, 3.0), OK]), Door([Reply(429, WAIT_SECONDS_MAX + 1)]), Door([LOST])
    outcomes = await try_all([told("a", patient), told("b", long), told("c", lost)], WHO, wall)
    assert [(one.target, one.delivered) for one in outcomes] == [("a", True), ("b", False), ("c", False)]
    assert outcomes[0].seconds == 3.0
    assert outcomes[1].sentence == "answered 429: it is told too much at once"
    assert outcomes[2].sentence == str(LOST)
