"""What a campaign must have met at least once, as far as one storm shows it: marks named in `requirements`."""

from __future__ import annotations

from typing import Final

from maker.storms import record as r

GUARD_TRIPS = {  # what the guard says -> which of its causes that is
    "kill -9": "guard_trip_died",
    "no heartbeat came in time": "guard_trip_hung",
    "it hung up and did not end": "guard_trip_hung_up",
    "it was told to stop and did not end": "guard_trip_overstayed",
    "the machine slept": "guard_trip_slept",
}
SILENT: Final = "neither data nor heartbeat"  # as the reader says it


def reached(record: r.Record) -> frozenset[str]:
    """The marks of one storm."""
    found: set[str] = set()
    cancels: set[int] = set()
    ladders: set[int] = set()
    left_at: dict[int, float] = {}
    tripped_at: float | None = None  # of the trip whose halt goes on
    cancelled_at: float | None = None  # the first cancel-all since that trip was performed
    lost: dict[str, float] = {}
    for entry in record.entries:
        match entry:
            case r.Left():
                if entry.is_cancel_all and entry.owner == r.MAKER:
                    cancels.add(entry.request)
                if entry.is_write:
                    ladders.add(entry.request)
                    left_at[entry.request] = entry.at
            case r.Answered() if entry.request in cancels:
                if entry.status == 429:
                    found.add("cancel_all_429")
                elif entry.status in (401, 403):
                    found.add("cancel_all_401")
                elif entry.status >= 500:
                    found.add("cancel_all_5xx")
            case r.Tripped():
                found.add(f"trip_{entry.reason}")
                if entry.reason == "STREAM_BROKEN" and SILENT in entry.detail:
                    found.add("stream_fell_silent")
                if tripped_at is None:
                    tripped_at, cancelled_at = entry.at, None
            case r.Rearmed():
                tripped_at = None
            case r.Applied() if entry.request in cancels and tripped_at is not None:
                cancelled_at = entry.at if cancelled_at is None else cancelled_at
            case r.Applied() if entry.request in ladders and cancelled_at is not None and entry.status < 300:
                if left_at[entry.request] < cancelled_at:
                    found.add("late_write_after_cancel_all")
            case r.Signalled() if tripped_at is not None:
                found.add("second_signal_in_cleanup")
            case r.SnapshotRead():
                if tripped_at is not None:
                    found.add("resync_during_halt")
                lost.pop(entry.market_id, None)
            case r.BrokenRead():
                lost[entry.market_id] = entry.at
                if "reference" in lost and entry.at - lost["reference"] < 1.0:
                    found.add("both_feeds_lost")
            case r.ReferenceBroken():
                lost["reference"] = entry.at
                if any(entry.at - at < 1.0 for name, at in lost.items() if name != "reference"):
                    found.add("both_feeds_lost")
            case r.FaultBit() if entry.name == "snapshot_stale":
                found.add("snapshot_older_than_deltas")
            case r.Died() if entry.why in GUARD_TRIPS:
                found.add(GUARD_TRIPS[entry.why])
            case r.Exited() if entry.code == 75:
                found.add("exit_75")
            case _:
                pass
    return frozenset(found)
