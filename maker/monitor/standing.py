"""Which alerts stand, and what is told of them: few notices, none lost, nothing repeated by a restart.

One condition has one record, by its alert's name and subject, which goes from waiting to standing and back.

    waiting   time that the condition holds counts up, time that it does not counts down; at `raise_seconds` it is told
              and stands. So what holds for more than half of the time is told in the end, and a flicker never is
    standing  told again when it gets worse (severity or rank above what was told), and while it is critical as a
              reminder, after twice as long each time. When it was gone for `clear_seconds` it is told to be over. Each
              time it comes back within an hour that time doubles: what flaps is told less and less

What is hidden by another that stands is neither told nor ended aloud; it is told when that one ends. What cannot be
told at the moment stays as it is. The records are small, plain values, written to the state folder and read at the next
start: what was not known to be delivered is told again then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from maker.app.alert_config import Severity
from maker.launch.telling import SENTENCE_CHARACTERS_MAX, remind_seconds
from maker.monitor.catalogue import BY_LABEL, Alert
from maker.monitor.conditions import Condition, Seen

FLAP_SECONDS: Final = 3_600.0  # after its end an alert is remembered for so long
CLEAR_SECONDS_MAX: Final = 3_600.0
DOUBLINGS_MAX: Final = 16
STEP_SECONDS_MAX: Final = 5.0  # steps are a second apart; a monitor that stood still counts no more than this
RECORDS_MAX: Final = 200  # far more than there are alerts, markets and targets; a file of more is none of ours

Key = tuple[str, str]


@attrs.frozen
class Notice:
    """Something to tell."""

    notice_id: str  # the same for every target and every try
    name: str  # of the alert
    subject: str
    phase: str  # begins | worse | reminder | ends | happens | test
    severity: Severity
    sentence: str
    todo: str
    at: float  # unix seconds
    since: float  # unix seconds at which it began


@attrs.define
class Record:
    """One alert, from when it first holds until it is forgotten."""

    alert: Alert
    subject: str
    since: float  # unix seconds
    sentence: str
    severity: Severity
    rank: float
    is_standing: bool = False
    held_seconds: float = 0.0  # while waiting
    told_at: float = 0.0  # last, beginning or reminder
    told_severity: Severity = Severity.INFO
    told_rank: float = 0.0
    tellings: int = 0  # beginning, worse and reminders
    gone_since: float | None = None
    ended_at: float | None = None  # last; None: never
    comebacks: int = 0  # within the hour
    notice_id: str = ""  # of the last notice
    is_delivered: bool | None = None

    @property
    def key(self) -> Key:
        return self.alert.label, self.subject

    @property
    def clear_seconds(self) -> float:
        doublings = min(self.comebacks, DOUBLINGS_MAX)
        return float(min(CLEAR_SECONDS_MAX, self.alert.value.clear_seconds * 2**doublings))

    @property
    def remind_seconds(self) -> float:
        """From the last telling to the next, while critical."""
        return remind_seconds(self.tellings)


@attrs.define
class Standing:
    """All records. `step` takes what is seen, `happened` what happens once; both return what to tell."""

    configuration: str  # its path, for what to do
    epoch: str  # tells the notices of this start from those of another
    raise_seconds: Mapping[Alert, float] = attrs.field(factory=dict)  # where the configuration has its own
    records: dict[Key, Record] = attrs.field(factory=dict)
    numbered: int = 0
    stepped_at: float | None = None

    def step(self, seen: Seen, now: float) -> list[Notice]:
        """Take conditions up at `now` (unix seconds); return what is to be told, the worst first."""
        elapsed = 0.0 if self.stepped_at is None else min(STEP_SECONDS_MAX, max(0.0, now - self.stepped_at))
        self.stepped_at = now
        holding = worst(seen.conditions)
        for key, one in holding.items():
            if key not in self.records and len(self.records) < RECORDS_MAX:
                self.records[key] = Record(one.alert, one.subject, now, "", one.severity, one.rank)
        notices: list[Notice] = []
        for key in sorted(self.records, key=lambda key: (BY_LABEL[key[0]].place, key[1])):
            record, one_held = self.records[key], holding.get(key)
            if one_held is not None:
                notices += self.hold(record, one_held, elapsed, now)
            elif record.alert in seen.unknown:
                record.gone_since = None
            else:
                notices += self.miss(record, elapsed, now, aloud=not any(is_resumption(one) for one in notices))
        return sorted(notices, key=lambda one: -one.severity.rank)

    def is_hidden(self, alert: Alert) -> bool:
        return any(one.is_standing and alert.label in one.alert.value.hides for one in self.records.values())

    def hold(self, record: Record, condition: Condition, elapsed: float, now: float) -> list[Notice]:
        """A condition holds."""
        record.gone_since = None
        record.sentence = condition.sentence[:SENTENCE_CHARACTERS_MAX]
        record.severity, record.rank = condition.severity, condition.rank
        record.told_at = min(record.told_at, now)  # a clock that was set back silences nobody
        if not record.is_standing:
            needed = self.raise_seconds.get(record.alert, record.alert.value.raise_seconds)
            if not record.held_seconds:
                record.since = now
            record.held_seconds = min(needed, record.held_seconds + elapsed)
            if record.held_seconds < needed or self.is_hidden(record.alert):
                return []
            if record.ended_at is not None:
                record.comebacks += 1
            record.is_standing, record.tellings = True, 0
            return [self.tell(record, "begins", now)]
        if self.is_hidden(record.alert):
            return []
        if (record.severity.rank, record.rank) > (record.told_severity.rank, record.told_rank):
            return [self.tell(record, "worse", now)]
        if record.severity is Severity.CRITICAL and now - record.told_at >= record.remind_seconds:
            return [self.tell(record, "reminder", now)]
        return []

    def miss(self, record: Record, elapsed: float, now: float, *, aloud: bool) -> list[Notice]:
        """A condition does not hold; `aloud`: nothing else has said yet that quotes rest again."""
        if not record.is_standing:
            record.held_seconds = max(0.0, record.held_seconds - elapsed)
            is_remembered = record.ended_at is not None and now - record.ended_at < FLAP_SECONDS
            if not record.held_seconds and not is_remembered:
                del self.records[record.key]
            return []
        record.gone_since = now if record.gone_since is None else min(record.gone_since, now)
        if now - record.gone_since < record.clear_seconds:
            return []
        was_hidden = self.is_hidden(record.alert)
        record.is_standing, record.held_seconds, record.ended_at = False, 0.0, now
        if was_hidden or (record.alert.value.ends_as == Alert.RESUMED.label and not aloud):
            return []
        return [self.tell(record, "ends", now)]

    def tell(self, record: Record, phase: str, now: float) -> Notice:
        severity = record.severity
        name, sentence, todo = record.alert.label, record.sentence, record.alert.value.todo
        if phase == "ends":
            severity, todo = record.told_severity, ""  # to everybody who was told that it began
            lasted = duration(max(0.0, now - record.since))
            if record.alert.value.ends_as == Alert.RESUMED.label:
                name, sentence = Alert.RESUMED.label, f"quotes rest again after {lasted}; it was: {sentence}"
            else:
                sentence = f"over after {lasted}; it was: {sentence}"
        else:
            record.told_at, record.tellings = now, record.tellings + 1
            record.told_severity, record.told_rank = severity, record.rank
        notice = self.notice(name, record.subject, phase, severity, sentence, todo, now, record.since)
        record.notice_id, record.is_delivered = notice.notice_id, None
        return notice

    def happened(self, alert: Alert, sentence: str, now: float, severity: Severity | None = None) -> Notice:
        """Make the notice of something that happens once."""
        row = alert.value
        return self.notice(alert.label, "", "happens", severity or row.severity, sentence, row.todo, now, now)

    def notice(
        self, name: str, subject: str, phase: str, severity: Severity, sentence: str, todo: str, at: float, since: float
    ) -> Notice:
        self.numbered += 1
        notice_id = f"{self.epoch}-{self.numbered}"
        todo = todo.replace("CONF", self.configuration)
        return Notice(notice_id, name, subject, phase, severity, sentence, todo, at, since)

    def delivered(self, notice_id: str, is_delivered: bool | None) -> None:
        """Remember what came of a record's last notice."""
        for record in self.records.values():
            if record.notice_id == notice_id:
                record.is_delivered = is_delivered

    # -- over a restart --------------------------------------------------------------------------------------------

    def dump(self) -> list[dict[str, Any]]:
        """What is worth keeping, as JSON values."""
        return [
            {
                **attrs.asdict(one, recurse=False),
                "alert": one.alert.label,
                "severity": one.severity.value,
                "told_severity": one.told_severity.value,
            }
            for one in self.records.values()
            if one.is_standing or one.ended_at is not None
        ]

    def load(self, rows: object, now: float) -> None:
        """Take up what an earlier start has dumped. Raises ValueError, and then has taken up nothing."""
        if not isinstance(rows, list) or len(rows) > RECORDS_MAX:
            raise ValueError("no list of alerts")
        records = [loaded(row) for row in rows]
        for record in records:
            if record.is_standing and not record.is_delivered:  # nobody may know of it
                record.is_standing, record.held_seconds = False, FLAP_SECONDS  # long enough for any alert
            record.told_at = min(record.told_at, now)
            self.records[record.key] = record


def worst(found: tuple[Condition, ...]) -> dict[Key, Condition]:
    """One condition for each key."""
    holding: dict[Key, Condition] = {}
    for one in found:
        other = holding.get(one.key)
        if other is None or (one.severity.rank, one.rank) > (other.severity.rank, other.rank):
            holding[one.key] = one
    return holding


def is_resumption(notice: Notice) -> bool:
    return notice.name == Alert.RESUMED.label


def duration(seconds: float) -> str:
    """Say how long, for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def loaded(row: object) -> Record:
    """Read one record. Raises ValueError."""
    names = {field.name for field in attrs.fields(Record)}
    if not isinstance(row, dict) or set(row) != names or str(row["alert"]) not in BY_LABEL:
        raise ValueError("no record of an alert")
    numbers = ("since", "rank", "held_seconds", "told_at", "told_rank")
    counts = ("tellings", "comebacks")
    fits = (
        all(isinstance(row[name], int | float) for name in numbers)
        and all(isinstance(row[name], int) and row[name] >= 0 for name in counts)
        and all(isinstance(row[name], int | float | None) for name in ("gone_since", "ended_at"))
        and all(isinstance(row[name], str) for name in ("subject", "sentence", "notice_id"))
        and isinstance(row["is_standing"], bool)
        and isinstance(row["is_delivered"], bool | None)
    )
    if not fits:
        raise ValueError("no record of an alert")
    severities = {name: Severity(row[name]) for name in ("severity", "told_severity")}
    return Record(**{**row, "alert": BY_LABEL[str(row["alert"])], **severities})
