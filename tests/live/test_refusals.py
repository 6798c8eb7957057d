"""Starts that must not happen: one sentence, one exit code, nothing placed, nothing cancelled."""

from __future__ import annotations

import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from maker.drills.processes import TRADE_KEY, VenueProcess, cleaned, now_ms, start_maker, start_venue
from tests.live.stage import live_conf, paper_conf
from tests.live.support import KEY_ENV, READ_KEY, measure

UNREACHABLE_SECONDS_MAX: Final = 35.0
PROMPT_SECONDS_MAX: Final = 10.0
FOREIGN: Final = {
    "marketId": "BTC-PERP",
    "clientOrderId": "somebody-elses-1",
    "type": "limit",
    "side": "buy",
    "price": "58000.0",
    "quantity": "0.0100",
    "timeInForce": "gtc",
    "postOnly": True,
}
UNSWEPT: Final = ("could not be read and swept within 30 s", "quotes that an earlier run left may rest")
MARKET_LINE: Final = r"^\[market\.BTC-PERP"  # of its own table, and of those of its models


async def refused(
    folder: Path,
    conf: Path,
    *,
    code: int = 78,
    words: tuple[str, ...],
    key: str = TRADE_KEY,
    seconds_max: float = PROMPT_SECONDS_MAX,
) -> dict[str, Any]:
    """Start, and see the refusal: exit code, the sentence's words, and that nothing is claimed."""
    at = now_ms()
    with cleaned(start_maker(folder, conf, environment={KEY_ENV: key})) as maker:
        ended = await maker.process.wait(seconds_max + 5.0)
        assert now_ms() - at <= seconds_max * 1000
        result = maker.result
        assert ended == result["exit_code"] == code, (result, maker.log[-2000:])
        for word in words:
            assert word in result["reason"], result["reason"]
        assert result["quotes_sent"] == result["fills"] == 0
        assert result["verified_empty"] is False
        assert key not in maker.log
        assert key not in maker.process.out.read_text()
        assert "Traceback" not in result["reason"]
        assert not (folder / "run.json").exists()
    return result


async def at_venue(
    folder: Path,
    *,
    words: tuple[str, ...],
    code: int = 78,
    key: str = TRADE_KEY,
    replace: Mapping[str, str] = {},
    before: Callable[[VenueProcess], object] = lambda _venue: None,
    may_cancel: bool = False,
) -> None:
    """Refused by what the exchange says: nothing placed there, and nothing cancelled."""
    venue = await start_venue(folder)
    try:
        before(venue)
        conf = live_conf(folder, venue.port, venue.reference_port, replace=replace)
        venue.record.refresh()
        resting = set(venue.record.resting())
        since = now_ms()
        await refused(folder, conf, code=code, words=words, key=key)
        venue.record.refresh()
        assert [call for call in venue.record.calls() if call.creates and call.begin >= since] == []
        assert set(venue.record.resting()) == resting
        if not may_cancel:
            assert venue.record.cancels() == []
    finally:
        venue.process.kill()


async def only_conf(folder: Path, *, words: tuple[str, ...], replace: Mapping[str, str] = {}, extra: str = "") -> None:
    """Refused by what the configuration says; no exchange is spoken to."""
    await refused(folder, paper_conf(folder, replace=replace, extra=extra), words=words)


async def unreachable(folder: Path) -> None:
    """Nobody listens there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    at = now_ms()
    conf = live_conf(folder, port, port)
    await refused(folder, conf, code=75, words=UNSWEPT, seconds_max=UNREACHABLE_SECONDS_MAX)
    measure("exchange unreachable -> exit 75", now_ms() - at)


async def silent(folder: Path) -> None:
    """Somebody listens, and never answers."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(64)
        port = deaf.getsockname()[1]
        conf = live_conf(folder, port, port)
        await refused(folder, conf, code=75, words=UNSWEPT, seconds_max=UNREACHABLE_SECONDS_MAX)


async def unknown_host(folder: Path) -> None:
    """A name that does not exist."""
    conf = live_conf(folder, 1, 1, replace={r"^base_url = .*$": 'base_url = "https://no-such-host.invalid"'})
    await refused(folder, conf, code=75, words=("cannot be found", "no-such-host.invalid", "may rest"))


async def no_file(folder: Path) -> None:
    """A configuration that is not there."""
    await refused(folder, folder / "nowhere.toml", words=("cannot read the configuration", "nowhere.toml"))


async def key_missing(folder: Path) -> None:
    """The variable that should hold the key does not."""
    conf = live_conf(folder, 1, 1, replace={r"^key_env = .*$": 'key_env = "MAKER_TEST_NOT_SET"'})
    await refused(folder, conf, words=("exchange.key_env", "MAKER_TEST_NOT_SET"))


async def state_is_a_file(folder: Path) -> None:
    """The state folder cannot be one."""
    (folder / "taken").write_text("")
    conf = paper_conf(folder, replace={r"^state_folder = .*$": f'state_folder = "{folder / "taken"}"'})
    await refused(folder, conf, words=("state folder", "taken"))


async def journal_is_garbage(folder: Path) -> None:
    """A journal that is no database is not overwritten."""
    (folder / "journal.sqlite").write_text("not a database, but somebody's notes\n" * 100)
    await refused(folder, paper_conf(folder), words=("journal.sqlite",))
    assert (folder / "journal.sqlite").read_text().startswith("not a database")


def place_foreign(venue: VenueProcess) -> None:
    venue.post("/perps/orders", FOREIGN)


def place_nameless(venue: VenueProcess) -> None:
    venue.post("/perps/orders", {name: value for name, value in FOREIGN.items() if name != "clientOrderId"})


async def foreign_cancelled(folder: Path) -> None:
    """Where the configuration says so, orders that are not ours are cancelled at the start, and it quotes."""
    venue = await start_venue(folder)
    try:
        place_foreign(venue)
        replace = {r'^foreign_orders = "refuse"': 'foreign_orders = "cancel"'}
        conf = live_conf(folder, venue.port, venue.reference_port, replace=replace)
        with cleaned(start_maker(folder, conf, record=venue.record, environment={KEY_ENV: TRADE_KEY})) as maker:
            await maker.quoting()
            placed = venue.record.placed()
            foreign = {row["orderId"] for row in placed if row["clientOrderId"] == FOREIGN["clientOrderId"]}
            assert len(foreign) == 1
            assert not foreign & set(venue.record.resting())
            maker.process.send(signal.SIGTERM)
            assert await maker.process.wait() == 0
    finally:
        venue.process.kill()


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {
    "unreachable": unreachable,
    "silent": silent,
    "foreign order": partial(at_venue, before=place_foreign, words=("not ours", "somebody-elses-1")),
    "nameless order": partial(at_venue, before=place_nameless, words=("not ours", "BTC-PERP")),
    "spot market": partial(
        at_venue,
        replace={MARKET_LINE: "[market.BTC-USDC-SPOT"},
        words=("BTC-USDC-SPOT", "spot", "perpetual"),
        may_cancel=True,
    ),
    "dated future": partial(
        at_venue,
        replace={MARKET_LINE: "[market.BTC-USDC-2026-06-26"},
        words=("BTC-USDC-2026-06-26",),
        may_cancel=True,
    ),
    "unknown market": partial(
        at_venue, replace={MARKET_LINE: "[market.DOGE-PERP"}, words=("DOGE-PERP", "BTC-PERP"), may_cancel=True
    ),
    "foreign orders cancelled": foreign_cancelled,
    "read key": partial(at_venue, key=READ_KEY, code=77, words=("403", "trade"), may_cancel=True),
    "unknown key": partial(at_venue, key="ocx_sk_never_issued", code=77, words=("401",)),
    "unknown host": unknown_host,
    "no file": no_file,
    "key missing": key_missing,
    "unknown word": partial(
        only_conf, replace={r"^requote_bps = .*$": "requote_bsp = 0.8"}, words=("requote_bsp", "requote_bps")
    ),
    "wrong unit": partial(only_conf, replace={r"^requote_bps = .*$": 'requote_bps = "0.8"'}, words=("requote_bps",)),
    "broken relation": partial(
        only_conf, replace={r"^halt_seconds_max = .*$": "halt_seconds_max = 1.0"}, words=("halt",)
    ),
    "key in the file": partial(
        only_conf, replace={r"^account = .*$": 'account = "ocx_sk_leaked"'}, words=("holds an API key",)
    ),
    "no toml": partial(only_conf, extra="\n[[[\n", words=("not valid TOML",)),
    "state is a file": state_is_a_file,
    "journal is garbage": journal_is_garbage,
}


@pytest.mark.parametrize("scene", SCENES)
def test_refused_starts(scene: str, played: Callable[[str], None]) -> None:
    """The exit code and the sentence say why; the exchange is left as it was found."""
    played(scene)


@pytest.mark.parametrize(
    "words", [["--for", "soon"], ["--for", "-5s"], ["--fro", "30s"], ["second.toml"]], ids=lambda words: words[0]
)
async def test_wrong_words_are_usage(tmp_path: Path, words: list[str]) -> None:
    """Exit code 2, a JSON line all the same, and nothing is started."""
    with cleaned(start_maker(tmp_path, paper_conf(tmp_path), *words)) as maker:
        assert await maker.process.wait(PROMPT_SECONDS_MAX) == 2
        assert maker.result["exit_code"] == 2
        assert "usage" in maker.result["reason"]
        assert not (tmp_path / "maker.lock").exists()
