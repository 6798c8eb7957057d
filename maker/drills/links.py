"""Drills of what lies between the maker and the exchange: feeds, order calls, names, and the exchange itself."""

from __future__ import annotations

import signal
from typing import Final

import attrs
import trio

from maker.drills.processes import now_ms, start_venue, until
from maker.drills.proxy import SWALLOW, Link, answer, event_streams, everything, lying, whole_chunks
from maker.drills.record import BULK, CANCEL_ALL
from maker.drills.scene import DrillFailed, Finding, Scene

NOTICED_MS: Final = 500.0  # a connection is reset, or an answer is an error → nothing rests
STALE_MARGIN_MS: Final = 500.0  # beyond stale_seconds_max
SILENT_MS: Final = 23_500.0  # 1.5 heartbeats, and a second
BACK_MS: Final = 5_000.0  # the exchange listens again → nothing of before rests
TAIL_MARGIN_MS: Final = 1_000.0  # beyond the tail
AWAY_SECONDS: Final = 3.0  # how long the exchange is down
LADDER_SECONDS_MAX: Final = 60.0  # until the next ladder: a quiet market is quoted anew only when quotes grow old
LATE_SECONDS: Final = 1.6  # how long a ladder is on the wire: past three cancel-alls of the tail
BROKEN: Final = answer(503, b"<html>upstream</html>", kind="text/html")
THROTTLED: Final = answer(429, b'{"error":"RATE_LIMITED","message":"slow down","retryAfterMs":600}', "Retry-After: 1")
LADDER_REQUEST: Final = f"POST {BULK} ".encode()
CANCEL_REQUEST: Final = f"POST {CANCEL_ALL} ".encode()
LIES: Final = 3  # in a row, then the truth


async def feed_stale(scene: Scene) -> Finding:
    """The reference feed falls silent, without an end."""
    scene.must_rest()
    at = now_ms()
    scene.stage.reference.hold(everything)
    return await scene.pulled(at, scene.settings.stale_seconds_max * 1000 + STALE_MARGIN_MS, lasts=True)


async def feed_cut(scene: Scene) -> Finding:
    """The reference feed's connection is reset."""
    scene.must_rest()
    at = now_ms()
    scene.stage.reference.cut()
    return await scene.pulled(at, NOTICED_MS, lasts=True)


async def stream_silent(scene: Scene) -> Finding:
    """The market streams fall silent, heartbeats too, without an end; orders still pass."""
    scene.must_rest()
    at = now_ms()
    scene.stage.exchange.hold(event_streams)
    return await scene.pulled(at, SILENT_MS, lasts=True)


async def stream_gap(scene: Scene) -> Finding:
    """An event of a market stream is lost: the next one tells."""
    scene.must_rest()
    gap = Gap()
    scene.stage.exchange.loses = gap.loses
    at = await until(lambda: gap.told_at, LADDER_SECONDS_MAX, "an event to lose, and the next one")
    return await scene.pulled(at, NOTICED_MS)


@attrs.define
class Gap:
    """Lose one event of one stream, and note when the next one passed."""

    victim: Link | None = None
    told_at: float | None = None  # unix milliseconds

    def loses(self, link: Link, piece: bytes) -> bool:
        if not event_streams(link.opening) or not whole_chunks(piece) or b"data:" not in piece:
            return False
        if self.victim is None:
            self.victim = link
            return True
        if link is self.victim and self.told_at is None:
            self.told_at = now_ms()
        return False


async def order_errors(scene: Scene) -> Finding:
    """Every ladder is answered 503 from now on."""
    scene.must_rest()
    at: list[float] = []

    def lie(request: bytes) -> bytes | None:
        if not request.startswith(LADDER_REQUEST):
            return None
        at.append(now_ms())
        return BROKEN

    scene.stage.exchange.lie = lie
    await until(lambda: at, LADDER_SECONDS_MAX, "a ladder to answer 503")
    return await scene.pulled(at[0], NOTICED_MS)


async def dns_dead(scene: Scene) -> Finding:
    """Names are no longer answered, and every connection to the exchange is reset: addresses are known already."""
    scene.must_rest()
    scene.trigger.touch()
    at = now_ms()
    scene.stage.exchange.cut()
    scene.stage.exchange.mend()
    return await scene.pulled(at, NOTICED_MS)


async def late_ladder(scene: Scene) -> Finding:
    """A ladder is on the wire when we are told to stop, and lands after the cancel-all: the tail takes it."""
    scene.must_rest()
    sent_at: list[float] = []

    def delay_seconds(request: bytes) -> float:
        if sent_at or not request.startswith(LADDER_REQUEST):
            return 0.0
        sent_at.append(now_ms())
        return LATE_SECONDS

    scene.stage.exchange.delay_seconds = delay_seconds
    await until(lambda: sent_at, LADDER_SECONDS_MAX, "a ladder to delay")
    at = now_ms()
    scene.maker.process.send(signal.SIGTERM)
    code = await scene.ended()
    if code != 0:
        raise DrillFailed(f"the exit code was {code} instead of 0: {scene.reason}")
    first = await scene.first_cancel(at, 0.0)

    def landed() -> bool:
        scene.record.refresh()
        return bool(scene.record.placed(first.ack or first.begin))

    await until(landed, LATE_SECONDS, "the delayed ladder at the exchange, so that something is proved")
    empty_from = scene.record.empty_from(at)
    if empty_from is None:
        raise DrillFailed(f"{len(scene.record.resting())} orders rest after the tail")
    limit = scene.settings.tail_seconds * 1000 + TAIL_MARGIN_MS
    return Finding(empty_from - at, empty_from - at, limit, ends_with=0)


async def cancel_all_429(scene: Scene) -> Finding:
    """Cancel-all itself is answered 429."""
    return await cancel_all_lied_to(scene, THROTTLED)


async def cancel_all_5xx(scene: Scene) -> Finding:
    """Cancel-all itself is answered 503."""
    return await cancel_all_lied_to(scene, BROKEN)


async def cancel_all_lost_answer(scene: Scene) -> Finding:
    """Cancel-all arrives, and its answer is lost."""
    return await cancel_all_lied_to(scene, SWALLOW)


async def cancel_all_lied_to(scene: Scene, lie: bytes) -> Finding:
    scene.must_rest()
    scene.stage.exchange.lie = lying(CANCEL_REQUEST, *[lie] * LIES)
    at = now_ms()
    scene.maker.process.send(signal.SIGTERM)
    finding = await scene.left(at, scene.settings.halt_seconds_max * 1000)
    if scene.stage.exchange.lies_told != LIES:
        raise DrillFailed(f"only {scene.stage.exchange.lies_told} cancel-alls were in trouble: nothing was proved")
    return finding


async def venue_down_then_back(scene: Scene) -> Finding:
    """The exchange dies with our quotes on its books and comes back with them: cancelled before anything new."""
    scene.must_rest()
    venue = scene.stage.venue
    venue.process.kill()
    scene.must_rest()
    orphans = set(scene.record.resting())
    await trio.sleep(AWAY_SECONDS)
    back = await start_venue(
        scene.stage.folder,
        *scene.venue_words,
        port=venue.port,
        reference_port=venue.reference_port,
        environment=scene.environment,
    )
    at = now_ms()
    scene.stage.venue = attrs.evolve(back, record=venue.record)
    rested = await scene.no_quotes(at, BACK_MS / 1000)
    placed = [line["t"] for line in scene.record.placed(at)]
    if placed and any(order in scene.record.resting(placed[0]) for order in orphans):
        raise DrillFailed("a new quote was placed while those of before rested")
    return Finding(rested, rested, BACK_MS)
