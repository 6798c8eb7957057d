"""What OCX does not document: the maker is right in every position of every switch of the practice exchange."""

from __future__ import annotations

import json
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from maker.drills.processes import TRADE_KEY, MakerRun, cleaned, now_ms, start_maker, start_venue, until
from maker.drills.record import Call, Record
from maker.wire import ocx
from tests.live.desk import desk_at
from tests.live.stage import live_conf, paper_conf
from tests.live.support import KEY_ENV, MARKETS

SIDE_BY_SIDE: Final = 3  # each of these runs trades all the time
RUN_SECONDS: Final = 6
POSITIONS: Final[Mapping[str, tuple[object, ...]]] = {  # the first of each is the default
    "margin_refusal": ("atomic", "cancels_first", "partial"),
    "level_refusal": ("whole", "level"),
    "repeated_quote_id": ("refuse", "replay", "accept"),
    "cancel_all_answer": ("after", "before"),
    "older_market_fields": (True, False),
    "trades_name_orders": (True, False),
    "bulk_answer": ("orders", "ack"),
    "error_body": ("current", "older"),
    "rate_limit_reset": ("seconds", "unix", "unix_ms"),
    "session_wanted": ("never", "reads", "singles", "both"),
}
DEFAULTS: Final = {name: values[0] for name, values in POSITIONS.items()}
WITH_ITS_OWN_SCENE: Final = ("margin_refusal", "session_wanted")  # where margin really is short, where a wallet is
OTHERS: Final = {name: values[-1] for name, values in POSITIONS.items() if name != "session_wanted"}
# Quotes near enough to be taken often: a switch that only matters with fills must see some.
NEAR: Final = {r"^half_spread_bps = .*$": "half_spread_bps = 0.5", r"^edge_bps_min = .*$": "edge_bps_min = 0.1"}
DEPOSIT: Final = Decimal(600)  # one market's whole ladder fits (415 or 311 of initial margin), both do not (726)
MARGIN_RUN_SECONDS: Final = 6.0

Shape = frozenset[tuple[str, str, str]]


def toml(switches: Mapping[str, object]) -> str:
    return "\n[paper.switches]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in switches.items())


def check_end(maker: MakerRun, record: Record) -> dict[str, Any]:
    """Exit 0, verified, quoted, equal to the record, never throttled."""
    record.refresh()
    result = maker.result
    assert (maker.process.popen.returncode, result["verified_empty"]) == (0, True), (result, maker.log[-3000:])
    assert record.resting() == {}
    assert {(line["marketId"], line["side"]) for line in record.placed()} == {
        (market, side) for market in MARKETS for side in ("buy", "sell")
    }
    sums = record.positions()
    assert {m: Decimal(p) for m, p in result["position"].items()} == {m: sums.get(m, Decimal(0)) for m in MARKETS}
    assert result["fills"] == len(record.own_trades())
    assert [call for call in record.calls() if call.status == 429] == []
    quote_ids = [json.loads(call.body)["quoteId"] for call in record.ladders()]
    assert len(set(quote_ids)) == len(quote_ids)
    assert '"event":"crashed"' not in maker.log
    return result


async def ordinary(folder: Path, switches: Mapping[str, object], seed: int) -> None:
    """A short run among busy traders."""
    conf = paper_conf(folder, replace={**NEAR, r"^seed = .*$": f"seed = {seed}"}, extra=toml(switches))
    with cleaned(start_maker(folder, conf, "--for", f"{RUN_SECONDS}s")) as maker:
        await maker.process.wait()
        result = check_end(maker, maker.record)
        assert result["quotes_sent"] == len([call for call in maker.record.ladders() if call.status == 200])
        assert result["fills"] >= 1, "a run without a fill proves little"
        assert maker.log.count('"event":"pulling"') == 1, "a short healthy run is pulled once, at its end"


# -- margin


def shape(call: Call) -> Shape:
    """A ladder without its names."""
    return frozenset((one["side"], one["price"], one["quantity"]) for one in json.loads(call.body)["quotes"])


def size(call: Call) -> Decimal:
    return sum((Decimal(one["quantity"]) for one in json.loads(call.body)["quotes"]), Decimal(0))


def ladders_by_market(record: Record) -> dict[str, list[tuple[Call, bool]]]:
    """Each market's answered ladders in order, and whether margin was refused: whole, or to some of its levels."""
    placed: dict[tuple[int, str], int] = defaultdict(int)
    for line in record.placed():
        placed[line["request"], line["quoteId"]] += 1
    found: dict[str, list[tuple[Call, bool]]] = defaultdict(list)
    for call in record.ladders():
        if call.apply is None:
            continue  # seen in the middle of it
        body = json.loads(call.body)
        refused = call.status == 422 or placed[call.number, body["quoteId"]] < len(body["quotes"])
        found[body["marketId"]].append((call, refused))
    return found


# What margin a ladder takes is thought to be next to nothing, so that it is not sized to what is free beforehand.
BLIND: Final = {
    r"^margin_ratio = .*$": "margin_ratio = 0.0001",
    r"^ramp_seconds = .*$": "ramp_seconds = 0",
    r"^margin_reserve_ratio = .*$": "margin_reserve_ratio = 0",
    r"^preview_seconds = .*$": "preview_seconds = 0",
    r"^headroom_warn_ratio = .*$": "headroom_warn_ratio = 0.00004",
    r"^headroom_shrink_ratio = .*$": "headroom_shrink_ratio = 0.00003",
    r"^headroom_reduce_only_ratio = .*$": "headroom_reduce_only_ratio = 0.00002",
    r"^headroom_flatten_ratio = .*$": "headroom_flatten_ratio = 0.00001",
}


async def short_of_margin(folder: Path, margin_refusal: str) -> None:
    """The account cannot carry both ladders: the next one is smaller, the same one never comes again, no reconnect."""
    venue = await start_venue(folder, "--margin-refusal", margin_refusal)
    try:
        venue.post("/wallet/transfer", {"from": "perps", "to": "wallet", "amount": str(100_000 - DEPOSIT)})
        conf = live_conf(folder, venue.port, venue.reference_port, replace=BLIND)
        with cleaned(start_maker(folder, conf, record=venue.record, environment={KEY_ENV: TRADE_KEY})) as maker:
            await maker.quoting()
            at = now_ms()

            def refused_and_on() -> bool:
                venue.record.refresh()
                ladders = ladders_by_market(venue.record)
                both = set(ladders) == set(MARKETS)
                accepted_since = any(
                    any(refused for _, refused in rows) and not rows[-1][1] for rows in ladders.values()
                )
                return both and accepted_since and now_ms() - at > MARGIN_RUN_SECONDS * 1000

            await until(refused_and_on, 15.0, f"margin refused, then a ladder accepted; {maker.log[-3000:]}")
            maker.process.send(signal.SIGTERM)
            await maker.process.wait()
            check_end(maker, venue.record)
            ladders = ladders_by_market(venue.record)
            assert any(refused for rows in ladders.values() for _, refused in rows), "margin was never refused"
            for market, rows in ladders.items():
                refused_shapes: set[Shape] = set()
                for (call, refused), following in zip(rows, [*rows[1:], None], strict=True):
                    assert shape(call) not in refused_shapes, f"{market}: a refused ladder was sent again"
                    if refused:
                        refused_shapes.add(shape(call))
                        if following is not None:
                            assert size(following[0]) < size(call), f"{market}: no smaller after a refusal"
            streams = [call for call in venue.record.calls() if call.path == "/perps/stream/events"]
            assert len(streams) == len(MARKETS), "a stream was opened again because of a refused margin"
            assert maker.log.count('"event":"pulling"') == 1, "quotes were pulled because of a refused margin"
    finally:
        venue.process.kill()


# -- sessions


async def by_session(folder: Path, session_wanted: str) -> None:
    """Keys are refused some calls: a wallet's session makes them, in a run and in selling out after it."""
    venue = await start_venue(folder, "--session-wanted", session_wanted)
    try:
        own = folder / "desk"
        desk = desk_at(own, venue, exchange=f'wallet_file = "{own / "wallet"}"', replace=NEAR)
        made = await desk.keys("create", "--scope", "trade", "--any-ip", "--days", "1", "--out", str(desk.key_file))
        assert made["exit_code"] == 0, made
        maker = await desk.run("--for", f"{RUN_SECONDS}s", record=venue.record)
        result = check_end(maker, venue.record)
        assert result["fills"] >= 1, "a run without a fill proves little"
        at = now_ms()
        sold_out = await desk.command("flatten", str(desk.conf))
        assert (sold_out["exit_code"], sold_out["position"]) == (0, {}), sold_out
        venue.record.refresh()
        held = any(Decimal(position) for position in result["position"].values())
        closes = [call for call in venue.record.calls() if call.path == ocx.POSITIONS_CLOSE and call.begin >= at]
        assert bool(closes) == held
        if held:
            assert {call.status for call in closes} == ({200} if session_wanted == "reads" else {403, 200})
        assert not any(venue.record.positions().values())
    finally:
        venue.process.kill()


SCENES: dict[str, Callable[[Path], Awaitable[None]]] = {
    **{
        f"short of margin, {name}": partial(short_of_margin, margin_refusal=name)
        for name in ("atomic", "cancels_first", "partial")
    },
    **{f"by session, {name}": partial(by_session, session_wanted=name) for name in ("reads", "singles", "both")},
    "all defaults": partial(ordinary, switches=DEFAULTS, seed=11),
    "all the other way round": partial(ordinary, switches=OTHERS, seed=12),
    **{
        f"{name}={value}": partial(ordinary, switches={name: value}, seed=seed)
        for seed, (name, value) in enumerate(
            ((name, value) for name, values in POSITIONS.items() for value in values[1:]), start=21
        )
        if name not in WITH_ITS_OWN_SCENE
    },
}


@pytest.mark.parametrize("scene", SCENES)
def test_every_position(scene: str, played: Callable[[str], None]) -> None:
    """Quoted, exit 0, verified, position and fills equal to the record, nothing throttled."""
    played(scene)


def test_all_switches_are_covered() -> None:
    """The table above names every switch and every position that the venue's command knows."""
    from maker.paper import switches

    known = {
        "margin_refusal": switches.MARGIN_REFUSALS,
        "level_refusal": switches.LEVEL_REFUSALS,
        "repeated_quote_id": switches.REPEATED_QUOTE_IDS,
        "cancel_all_answer": switches.CANCEL_ALL_ANSWERS,
        "bulk_answer": switches.BULK_ANSWERS,
        "error_body": switches.ERROR_BODIES,
        "rate_limit_reset": switches.RATE_LIMIT_RESETS,
        "session_wanted": switches.SESSION_WANTED,
    }
    for name, values in POSITIONS.items():
        assert set(values) == set(known.get(name, (True, False))), name
    fields = set(switches.Switches.__annotations__)
    assert set(POSITIONS) == fields
