"""Every alert there is: how bad, what it means, what to do. The README's runbook is this table, word for word.

An alert stands while its condition does; a notice happens once. Few and certain beats many: a condition must hold for
`raise_seconds` (more than half of the time, see `standing`), is over when it was gone for `clear_seconds`, and is not
told while one that explains it stands (`hides`). CONF stands for the configuration's path.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

from maker.app.alert_config import Severity

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
AT_ONCE: Final = 0.0
FIRST_READ_SECONDS: Final = 15.0  # a monitor that has only begun has read nothing yet, and no alarm is due for that
CALM_SECONDS: Final = 60.0  # gone for so long: over
STOP: Final = "`python3 run.py cancel-all CONF`"
CHECK: Final = "`python3 run.py check CONF`"
REPORT: Final = "`python3 run.py report CONF --since 24h`"


@attrs.frozen
class Row:
    """One alert."""

    severity: Severity  # the least: what is seen may make it worse
    meaning: str
    todo: str
    raise_seconds: float = AT_ONCE
    clear_seconds: float = CALM_SECONDS
    hides: tuple[str, ...] = ()  # names that are not told while this one stands
    happens_once: bool = False  # a notice: nothing that stands
    ends_as: str = "resolved"


class Alert(enum.Enum):
    """The worst first: this is the order in which the page shows them."""

    # what the exchange itself shows, against what the maker says
    QUOTES_UNATTENDED = Row(
        CRITICAL,
        "Orders of ours rest at the exchange while the maker is dead, halted, silent, or has pulled and should have "
        "read back empty by now. They fill at prices nobody looks at.",
        f"{STOP} now, from this machine or any other that has the key. If it cannot say that nothing rests: cancel on "
        "the exchange's site. Then find out why guard and maker did not.",
        hides=("cannot_verify", "unknown_orders", "maker_gone", "halted", "guard_gone"),
    )
    UNKNOWN_ORDERS = Row(
        CRITICAL,
        "Orders with our prefix rest that the maker does not know of: it counts them in no limit.",
        f"Stop the maker, then {STOP}. Look for a second bot with the same `order_prefix`.",
    )
    POSITION_DIFFERS = Row(
        CRITICAL,
        "The exchange states another position than the maker believes in: its limits and its skew are wrong.",
        f"Stop the maker; {CHECK}. Start again: a start reads the position from the exchange. If it comes back, keep "
        "the journal and look for trades by somebody else, or a liquidation.",
    )
    MISSING_ORDERS = Row(
        WARNING,
        "The maker believes in orders that do not rest at the exchange: it quotes less than it says.",
        f"Nothing at once. {REPORT} if it lasts: somebody else, or the exchange itself, may have cancelled them.",
    )
    FOREIGN_ORDERS = Row(
        WARNING,
        "Orders without our prefix rest on the account: somebody else trades on it.",
        "One sub-account per bot: move the other elsewhere. The maker's cancel-all takes everything on the account, "
        "and its limits do not count what it did not place.",
    )
    CANNOT_VERIFY = Row(
        CRITICAL,
        "Quotes were pulled, or the maker died, and nobody could read back that nothing rests. Quotes may rest.",
        f"{STOP}: exit code 0 says that nothing rests. If it cannot reach the exchange either: the exchange's site, or "
        "another network.",
        raise_seconds=15.0,
        hides=("maker_gone", "halted"),
    )
    LEFT_QUOTES_PULLED = Row(
        CRITICAL,
        "The second host found quotes that nobody had replaced in time, and cancels everything on the account: the "
        "first host is gone, or hangs.",
        f"Look at the first host: power, network, log. {STOP} tells whether anything rests. A maker at work all the "
        "same: the two hosts have different configurations.",
        happens_once=True,
    )
    WATCH_BLIND = Row(
        CRITICAL,
        "The second host cannot do its work: it cannot read the exchange, its key is refused, or it pulls and cannot "
        "read back that old quotes are gone. Nobody stands in for the first host.",
        "The log there (`journalctl --namespace=maker -u maker-watch`): its network, or the place of its key. If it "
        f"could not verify: {STOP}, from any machine that has a key.",
        happens_once=True,
    )
    START_REFUSED = Row(
        CRITICAL,
        "A start came to no maker: it was refused, or what an earlier run left could not be swept (75: quotes may "
        "rest). The sentence says why.",
        f"75: {STOP}; a service tries again by itself. 77: the key; 78: the sentence; {CHECK} says what a start would "
        "meet. Then start.",
        happens_once=True,
    )
    AUDIT_BLIND = Row(
        WARNING,
        "The monitor cannot read the exchange: what rests there is known from the maker alone.",
        f"{CHECK}; the monitor wants a key of scope read that may be used from this machine.",
        raise_seconds=FIRST_READ_SECONDS,
    )
    # whether it runs
    LOSS_LIMIT = Row(
        CRITICAL,
        "A loss limit is reached: quotes were pulled, and nothing starts until a person has looked.",
        f"{REPORT}. Look at the position, which is still there unless `[limits] flatten` says otherwise "
        "(`python3 run.py flatten CONF` closes it). When you know why: `python3 run.py clear CONF`, then start.",
        hides=("halted", "loss_limit_near", "not_quoting", "maker_gone"),
        ends_as="resumed",
    )
    HALTED = Row(
        CRITICAL,
        "The maker ended for a reason, or the kill file forbids it to start. The reason stands in the alert.",
        f"{CHECK} says what a start would meet; {REPORT} what happened. Latched: look, then "
        "`python3 run.py clear CONF`. Then start.",
        hides=("not_quoting", "maker_gone", "feed_down", "maker_silent"),
        ends_as="resumed",
    )
    MAKER_GONE = Row(
        CRITICAL,
        "The maker's process is gone without having said why: killed, crashed, or the machine ran out of memory.",
        f"{STOP} unless a start follows by itself; then the log, `dmesg` for the kernel's hand, {CHECK}, start.",
        raise_seconds=3.0,
        hides=("not_quoting", "feed_down", "maker_silent", "journal_stuck"),
        ends_as="resumed",
    )
    GUARD_GONE = Row(
        CRITICAL,
        "The guard is gone and the maker lives: it should stop by itself within a second, for nobody else would pull "
        "its quotes.",
        f"If the maker still runs: stop it (Ctrl-C, or SIGTERM), then {STOP}, then start again.",
        raise_seconds=5.0,
    )
    MAKER_SILENT = Row(
        WARNING,
        "The maker's process lives and sends no state: what the page shows is old. A maker that hangs is killed by its "
        "guard; one that is not has trouble with the monitor's socket alone.",
        "Look at the log; restart the monitor. If the log has stopped too: stop the run.",
        hides=("not_quoting", "feed_down"),
    )
    NOT_QUOTING = Row(
        WARNING,
        "There have been no quotes for longer than `not_quoting_seconds`, in one market or in all. The sentence says "
        "what the maker waits for.",
        f"Often a venue's feed, or prices that are apart: wait, or {CHECK}. It goes on by itself.",
        ends_as="resumed",
    )
    FEED_DOWN = Row(
        WARNING,
        "Reference feeds or market streams have been down for longer than `feed_down_seconds`.",
        "If one of several: nothing, it reconnects. If all: this machine's network. If one for hours: its venue's "
        f"status page, or another source in the configuration; {CHECK} tries each.",
    )
    # money
    LOSS_LIMIT_NEAR = Row(
        WARNING,
        "Much of a loss limit is used up (`loss_near_ratio`). At the limit quotes are pulled and a person is needed.",
        f"{REPORT}: is it the market, or the spread? Stop by hand rather than meet the limit, if you do not know.",
        clear_seconds=600.0,
    )
    MARGIN_STEP = Row(
        WARNING,
        "Margin headroom fell below a step of `[limits] headroom_…_ratio`: sizes shrink, then only what reduces is "
        "quoted, then everything stops.",
        "Add collateral, or reduce positions: `python3 run.py flatten CONF` stops the maker and closes them.",
        raise_seconds=5.0,
        clear_seconds=300.0,
    )
    KEY_EXPIRES = Row(
        WARNING,
        "The maker's API key expires within 14, 3 or 1 days; quoting stops some minutes before.",
        "`python3 run.py keys create CONF --scope trade --out FILE`, and put that file in the place of the old one.",
        clear_seconds=10.0,
    )
    # what we stand on
    JOURNAL_STUCK = Row(
        WARNING,
        "Nothing has been written to the journal for a minute while the maker quotes.",
        "Look at the disk of the state folder. A journal that cannot be written stops the maker by itself.",
        raise_seconds=10.0,
    )
    DISK_NEARLY_FULL = Row(
        WARNING,
        "The state folder's disk has less than `disk_free_gib_min` free. Full, it stops the maker.",
        "Make room; an old journal may be moved away while no maker runs.",
        raise_seconds=10.0,
        clear_seconds=300.0,
    )
    ALERT_PATH_FAILS = Row(
        WARNING,
        "A target cannot be told: alerts do not arrive there.",
        "`python3 run.py alert-test CONF` says what each target answers; then look at its URL or token, and restart.",
        clear_seconds=10.0,
    )
    # notices
    RESUMED = Row(
        INFO,
        "Quotes rest again after an alert of having none.",
        "Nothing; the alert it ends says why there were none.",
        happens_once=True,
    )
    STOPPED = Row(INFO, "The maker stopped as it was asked to, and read back empty.", "Nothing.", happens_once=True)
    RATE_LIMIT_CHANGED = Row(
        INFO,
        "The exchange states another limit of order requests than before.",
        "Lower: quotes are replaced less often. `[budget] requests_per_minute` is what a start assumes: correct it.",
        happens_once=True,
    )
    FEES_CHANGED = Row(
        INFO,
        "The exchange states other fees for a market than before.",
        "Compare with `edge_bps_min` and the spread: a higher maker fee may make quoting a loss.",
        happens_once=True,
    )
    WATCH_AGAIN = Row(
        INFO,
        "The second host looks again, or has read back that what was left is gone.",
        "Nothing; the alert before it says what was the matter.",
        happens_once=True,
    )
    DAILY_SUMMARY = Row(
        INFO,
        "What the last day brought, at `daily_summary_at`: profit and what made it, fills, uptime, halts.",
        f"Read it; {REPORT} tells more.",
        happens_once=True,
    )
    TEST = Row(INFO, "Somebody said `alert-test`.", "Nothing: this path works.", happens_once=True)

    @property
    def label(self) -> str:
        """Its name as it is shown and stored."""
        return self.name.lower()

    @property
    def place(self) -> int:
        """Its place in the order of the table."""
        return list(Alert).index(self)


BY_LABEL: Final = {alert.label: alert for alert in Alert}


def runbook() -> list[str]:
    """The rows of the README's table."""
    rows = [f"| `{one.label}` | {one.value.severity.value} | {one.value.meaning} | {one.value.todo} |" for one in Alert]
    return ["| alert | at least | what it means | what to do |", "| --- | --- | --- | --- |", *rows]
