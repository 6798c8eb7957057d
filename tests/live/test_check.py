"""`check` over real processes and sockets: it reads, and nothing else, as the practice exchange's own record shows."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from maker.app import authority
from maker.drills.processes import TRADE_KEY, Process, VenueProcess, cleaned, now_ms, start_maker, start_venue
from maker.drills.record import Call
from tests.live.stage import live_conf, paper_conf
from tests.live.support import KEY_ENV, measure
from tests.live.test_refusals import FOREIGN

SECONDS_MAX: Final = 70.0  # the time for all checks is 60 s
PREVIEW: Final = "/perps/orders/preview"  # OCX documents that it has no effect
OWN: Final = {**FOREIGN, "clientOrderId": "mk-old-1"}
TLS_NEEDED: Final = "over TLS"


async def checked(
    folder: Path, conf: Path, *words: str, environment: Mapping[str, str] = {}
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Check as users do; return the exit code, the object, and each check's verdict."""
    command = ["-m", "maker", "check", str(conf), "--json", *words]
    process = Process.start(command, folder, "check", {KEY_ENV: TRADE_KEY, **environment})
    code = await process.wait(SECONDS_MAX)
    out = process.out.read_text()
    assert TRADE_KEY not in out + process.log()
    assert "Traceback" not in process.log(), process.log()
    said: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert said["exit_code"] == code
    assert len(out.splitlines()) == len(said["checks"]) + 1, "a line a check, and the object"
    return code, said, {row["name"]: row["verdict"] for row in said["checks"]}


def changing(venue: VenueProcess, since: float) -> list[Call]:
    """Requests that are no reads, by the exchange's record."""
    venue.record.refresh()
    calls = [call for call in venue.record.calls() if call.begin >= since]
    assert calls, "a record of nothing proves nothing"
    return [call for call in calls if call.method != "GET" and call.path != PREVIEW]


async def ready(folder: Path) -> None:
    """Everything is well: exit 0, each check passed; only reads were sent, and what rests is left alone."""
    venue = await start_venue(folder)
    try:
        venue.post("/perps/orders", OWN)
        venue.record.refresh()
        resting = set(venue.record.resting())
        conf = live_conf(folder, venue.port, venue.reference_port)
        before, since = sorted(folder.iterdir()), now_ms()
        code, said, verdicts = await checked(folder, conf)
        measure("check, all of it", now_ms() - since)
        assert code == 0, said
        assert set(verdicts.values()) <= {"ok", "not told"}, said
        assert {name for name, verdict in verdicts.items() if verdict == "not told"} == {
            "expiry",
            "pinned addresses",
            "scope",
            "rate limit",
        }
        found = {row["name"]: row["found"] for row in said["checks"]}
        assert "orders of ours that rest: 1" in found["foreign orders"]
        assert "orders of ours that rest: 1" in found["guard's route"]
        assert changing(venue, since) == []
        assert set(venue.record.resting()) == resting != set()
        left = set(folder.iterdir()) - set(before)
        assert {path.suffix for path in left} == {".out", ".err"}, "the state folder is as it was"
    finally:
        venue.process.kill()


async def foreign(folder: Path) -> None:
    """Somebody else's order: 78, as `run` would say; it is neither cancelled nor joined by another."""
    venue = await start_venue(folder)
    try:
        venue.post("/perps/orders", FOREIGN)
        since = now_ms()
        code, said, verdicts = await checked(folder, live_conf(folder, venue.port, venue.reference_port))
        assert code == 78
        assert [name for name, verdict in verdicts.items() if verdict == "failed"] == ["foreign orders"]
        assert "somebody-elses-1" in json.dumps(said)
        assert changing(venue, since) == []
        assert len(venue.record.resting()) == 1
    finally:
        venue.process.kill()


async def unknown_key(folder: Path) -> None:
    """77, and what needs the key is not made; the guard's own route neither."""
    venue = await start_venue(folder)
    try:
        conf = live_conf(folder, venue.port, venue.reference_port)
        key = "ocx_sk_canary_0123456789"
        code, said, verdicts = await checked(folder, conf, environment={KEY_ENV: key})
        assert code == 77
        assert key not in json.dumps(said)
        assert [name for name, verdict in verdicts.items() if verdict == "failed"] == ["credentials"]
        assert {verdicts[name] for name in ("margin", "fees", "foreign orders", "guard's route")} == {"not made"}
        assert {verdicts[name] for name in ("listing", "clock", "market.BTC-PERP", "reference.alpha")} == {"ok"}
    finally:
        venue.process.kill()


async def over_tls(folder: Path) -> None:
    """With the exchange's authority all is well; with another one not a byte of a request leaves."""
    if shutil.which("openssl") is None:
        return
    venue = await start_venue(folder, "--tls-folder", str(folder / "tls"))
    (folder / "other").mkdir()
    authority.make(folder / "other", "127.0.0.1")
    try:
        for place, expected in (("tls", 0), ("other", 78)):
            ca_file = folder / place / authority.CA_FILE
            secure = {
                r'^base_url = "http:(.*)"$': f'base_url = "https://127.0.0.1:{venue.port}"\nca_file = "{ca_file}"',
                **{
                    rf'^url = "ws://127.0.0.1:{venue.reference_port}/{name}"$': (
                        f'url = "wss://127.0.0.1:{venue.reference_port}/{name}"\nca_file = "{ca_file}"'
                    )
                    for name in ("alpha", "beta", "gamma")
                },
            }
            since = now_ms()
            conf = live_conf(folder, venue.port, venue.reference_port, replace=secure)
            code, said, verdicts = await checked(folder, conf)
            assert code == expected, said
            found = {row["name"]: row for row in said["checks"]}
            if not expected:
                assert "TLSv1.3; the certificate is trusted, for another" in found["tls"]["found"]
                assert changing(venue, since) == []
                continue
            assert (verdicts["exchange"], verdicts["tls"], verdicts["credentials"]) == ("ok", "failed", "not made")
            assert "certificate verify failed" in found["tls"]["found"]
            assert verdicts["reference.alpha"] == "failed"
            venue.record.refresh()
            assert [call for call in venue.record.calls() if call.begin >= since] == []
    finally:
        venue.process.kill()


async def hung(folder: Path) -> None:
    """An exchange and feeds that take connections and say nothing: it ends by its own deadlines."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(64)
        port = deaf.getsockname()[1]
        code, said, verdicts = await checked(folder, live_conf(folder, port, port))
    assert code == 78, said
    failed = {name for name, verdict in verdicts.items() if verdict == "failed"}
    assert failed == {"listing", "credentials", "clock", "reference.alpha", "reference.beta", "reference.gamma"}
    assert verdicts["exchange"] == "ok"


async def practice_of_its_own(folder: Path) -> None:
    """Mode paper, nothing runs: it brings a practice exchange, and leaves neither it nor a file behind."""
    conf = paper_conf(folder, replace={r"^state_folder = .*$": f'state_folder = "{folder / "state"}"'})
    scratch = folder / "scratch"
    scratch.mkdir()
    code, said, verdicts = await checked(folder, conf, environment={"TMPDIR": str(scratch)})
    assert code == 0, said
    assert verdicts["practice exchange"] == verdicts["margin"] == verdicts["reference.gamma"] == "ok"
    assert list(scratch.iterdir()) == []
    assert not (folder / "state").exists()
    assert running_below(folder) == []


def running_below(folder: Path) -> list[str]:
    """Command lines of processes that name a folder: a practice exchange is started with its configuration's path."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


async def beside_a_run(folder: Path) -> None:
    """Mode paper, a run goes on: its practice exchange is asked, and the run quotes on."""
    conf = paper_conf(folder)
    with cleaned(start_maker(folder, conf)) as maker:
        await maker.quoting()
        code, said, verdicts = await checked(folder, conf)
        assert code == 0, said
        found = {row["name"]: row["found"] for row in said["checks"]}
        assert found["practice exchange"] == f"The one of the run that goes on: {maker.status['venue_url']}."
        assert verdicts["lock"] == "warning"
        assert "orders of ours that rest" in found["foreign orders"]
        await maker.quoting(since=now_ms())
        assert not maker.process.ended


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "hung": hung,
    "ready": ready,
    "foreign orders": foreign,
    "unknown key": unknown_key,
    TLS_NEEDED: over_tls,
    "a practice exchange of its own": practice_of_its_own,
    "beside a run": beside_a_run,
}


@pytest.mark.parametrize("scene", SCENES)
def test_the_check(scene: str, played: Callable[[str], None]) -> None:
    """Nothing is placed or cancelled, whatever it finds; the exit code is run's."""
    if scene == TLS_NEEDED and shutil.which("openssl") is None:
        pytest.skip("there is no openssl command to make a certificate with")
    played(scene)
