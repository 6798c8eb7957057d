"""Is it quoting? One answer and its sentence, for a load balancer, a watchdog or a person's phone."""

from __future__ import annotations

from typing import Final

from maker.monitor.observation import Life, Observation

STALE_SECONDS_MAX: Final = 3.0  # six turns of a maker that tells; one that starves so long quotes nothing fresh either
AS_ASKED: Final = ("stop_asked", "time_up")  # reasons of a pull that a person gave, by a signal or `--for`


def health(seen: Observation) -> tuple[bool, str]:
    """Return whether the maker quotes, or was asked to stop, and the sentence that says why or why not."""
    if seen.maker is not Life.ALIVE:
        return False, "the maker is gone" if seen.maker is Life.GONE else "no run is known: nothing quotes"
    if seen.state is None or seen.state_age_seconds is None:
        return False, "the maker has told nothing yet"
    if seen.state_age_seconds > STALE_SECONDS_MAX:
        return False, f"the maker has told nothing for {seen.state_age_seconds:.1f} s"
    if seen.latched:
        return False, f"latched: {seen.latched}"
    state = seen.state
    is_well = state.state == "quoting" or (state.state == "ending" and state.reason in AS_ASKED)
    return is_well, f"{state.state}: {state.sentence}"
