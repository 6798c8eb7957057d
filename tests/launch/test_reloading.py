"""Reloads as the parent conducts them: which keys are held at every step, what is told, and that nothing waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maker.app.reload import APPLY_SECONDS_MAX, PREPARE_SECONDS_MAX
from maker.guard.exchange import CALL_SECONDS_MAX, Exchange, NoAnswer, Refused
from maker.launch import key, reload_command, running
from maker.launch.conductor import Amended, Conductor
from maker.launch.reloading import (
    ANSWER_SECONDS_MAX,
    DENIED,
    READING_SECONDS_MAX,
    Keys,
    Reloading,
    Rotating,
    State,
    answer_of,
)
from maker.launch.settings import GuardSettings, MonitorSettings, ParentSettings
from maker.launch.start import Status

OLD = key.Key("ocx_sk_canary_old", "ocx_kid_old", "trade")
NEW = key.Key("ocx_sk_canary_new", "ocx_kid_new", "trade")
WAIT_SECONDS_MAX = 20.0


def ids(keys: Keys) -> list[str]:
    return [one.key_id for one in keys.held]


def answer(number: int = 1, *, ok: bool = True, **more: Any) -> bytes:
    fields = {"reloaded": number, "ok": ok, "sentence": "as scripted", "sha256": "ab" if ok else "", "key_id": ""}
    return json.dumps(fields | more).encode()


def asked(kept: key.Key | None = NEW) -> Reloading:
    """A reload of which the maker has been told."""
    made = Reloading(Keys(OLD))
    assert made.asked(100.0)
    made.found(kept)
    return made


def test_both_keys_are_held_before_the_maker_hears_of_the_new_one() -> None:
    """The one in use first: nobody knows yet that the other can pull."""
    reloading = Reloading(Keys(OLD))
    assert reloading.asked(100.0)
    assert ids(reloading.keys) == ["ocx_kid_old"]
    told = json.loads(reloading.found(NEW))
    assert told == {"reload": 1, "key_digest": key.digest(NEW.secret)}
    assert NEW.secret not in json.dumps(told)
    assert ids(reloading.keys) == ["ocx_kid_old", "ocx_kid_new"]
    assert reloading.second is NEW


def test_taken_the_new_one_is_first_and_the_old_one_may_be_revoked() -> None:
    """The sentence says so, with its id; the old one stays beside it, which harms nothing once it is revoked."""
    reloading = asked()
    assert reloading.answered(answer(), 101.0)
    assert ids(reloading.keys) == ["ocx_kid_new", "ocx_kid_old"]
    report = reloading.report
    assert report is not None
    assert (report.began, report.ended, report.ok, report.sha256) == (100.0, 101.0, True, "ab")
    assert report.sentence == (
        "as scripted. The old key ocx_kid_old is used by nobody here any more: it may be revoked now"
    )
    assert (reloading.state, reloading.second) == (State.IDLE, None)


def test_refused_the_new_one_is_forgotten() -> None:
    reloading = asked()
    assert reloading.answered(answer(ok=False), 101.0)
    assert ids(reloading.keys) == ["ocx_kid_old"]
    assert reloading.second is None
    assert reloading.report is not None
    assert "revoke" not in reloading.report.sentence


def test_without_an_answer_both_are_kept_and_neither_may_be_revoked() -> None:
    reloading = asked()
    for early, reports in ((0.1, 0), (0.0, 1)):
        reloading.look(100.0 + READING_SECONDS_MAX + ANSWER_SECONDS_MAX - early)
        assert (reloading.report is not None) == bool(reports)
    assert ids(reloading.keys) == ["ocx_kid_old", "ocx_kid_new"]
    assert reloading.second is NEW
    assert reloading.report is not None
    assert "revoke NEITHER" in reloading.report.sentence
    assert reloading.asked(300.0), "and the next one finds out"
    reloading.found(NEW)
    assert reloading.answered(answer(2), 301.0)
    assert ids(reloading.keys) == ["ocx_kid_new", "ocx_kid_old"]


def test_the_maker_has_its_time_however_late_it_was_asked() -> None:
    """What the key's file and the exchange took of it is not taken from what the maker needs."""
    reloading = Reloading(Keys(OLD))
    assert reloading.asked(100.0)
    reloading.look(100.0 + READING_SECONDS_MAX - 0.1)
    reloading.found(NEW)
    reloading.look(100.0 + READING_SECONDS_MAX + PREPARE_SECONDS_MAX + APPLY_SECONDS_MAX + 5.0)
    assert reloading.state is State.ASKED


GIVEN_UP = 100.0 + READING_SECONDS_MAX + ANSWER_SECONDS_MAX
NEWEST = key.Key("ocx_sk_canary_newest", "ocx_kid_newest")


def unanswered() -> Reloading:
    """A change of the key of which nobody knows what came."""
    reloading = asked()
    reloading.look(GIVEN_UP)
    assert reloading.uncertain
    return reloading


@pytest.mark.parametrize("ok", [True, False])
def test_an_answer_after_all_is_no_babble_and_settles_the_keys(*, ok: bool) -> None:
    """A maker that quotes in good order would be killed for babble; and the key that it uses is known again."""
    reloading = unanswered()
    assert reloading.answered(answer(ok=ok), 200.0)
    assert ids(reloading.keys) == (["ocx_kid_new", "ocx_kid_old"] if ok else ["ocx_kid_old", "ocx_kid_new"])
    assert reloading.second is None
    assert reloading.report is not None
    assert (reloading.report.ok, "answered late" in reloading.report.sentence) == (ok, True)
    other = "ocx_kid_old" if ok else "ocx_kid_new"
    assert f"{other} is used by nobody here any more" in reloading.report.sentence
    before = reloading.report
    assert reloading.answered(answer(ok=ok), 201.0)
    assert reloading.report is before


def test_an_answer_to_what_no_key_hung_on_is_no_babble_either() -> None:
    reloading = asked(OLD)
    reloading.look(GIVEN_UP)
    assert reloading.answered(answer(), 200.0)
    assert not reloading.answered(answer(2), 200.0), "that was never asked"


def test_while_two_keys_are_in_doubt_no_third_one_takes_the_place_of_either() -> None:
    """The maker may use the one that would be let go."""
    reloading = unanswered()
    assert reloading.asked(200.0)
    assert "(ocx_kid_old and ocx_kid_new)" in reloading.unfit(NEWEST)
    assert [reloading.unfit(one) for one in (OLD, NEW, None)] == ["", "", ""]
    reloading.problem(reloading.unfit(NEWEST), 201.0)
    assert ids(reloading.keys) == ["ocx_kid_old", "ocx_kid_new"]
    assert reloading.second is NEW


def test_refused_while_two_keys_are_in_doubt_both_are_kept() -> None:
    """That the maker does not like a file says nothing of the key that it took before."""
    reloading = unanswered()
    assert reloading.asked(200.0)
    reloading.found(NEW)
    assert reloading.answered(answer(2, ok=False), 201.0)
    assert ids(reloading.keys) == ["ocx_kid_old", "ocx_kid_new"]
    assert reloading.second is NEW
    assert reloading.report is not None
    assert "revoke NEITHER" in reloading.report.sentence


def test_the_old_key_back_in_the_file_ends_the_doubt() -> None:
    """It is the first of ours all the while, and yet has to be asked for: the maker may use the other one."""
    reloading = unanswered()
    assert reloading.asked(200.0)
    reloading.found(OLD)
    assert reloading.answered(answer(2), 201.0)
    assert (ids(reloading.keys), reloading.second) == (["ocx_kid_old", "ocx_kid_new"], None)
    assert reloading.report is not None
    assert "The old key ocx_kid_new is used by nobody" in reloading.report.sentence


@pytest.mark.parametrize(("late_ok", "first"), [(True, "ocx_kid_new"), (False, "ocx_kid_old")])
def test_an_answer_after_all_counts_while_the_next_one_is_asked(late_ok: bool, first: str) -> None:
    """The next one is refused: what the maker uses is what the late answer said, and the other is forgotten."""
    reloading = unanswered()
    assert reloading.asked(200.0)
    reloading.found(NEW)
    assert reloading.answered(answer(1, ok=late_ok), 201.0)
    doubts = [reloading.second is not None]
    assert reloading.answered(answer(2, ok=False), 202.0)
    doubts.append(reloading.second is not None)
    assert (ids(reloading.keys), doubts) == ([first], [True, False])


def test_after_two_without_an_answer_only_the_last_one_counts() -> None:
    """The first one's says what was used before the second, and a refusal of the second leaves it open."""
    reloading = unanswered()
    assert reloading.asked(200.0)
    reloading.found(OLD)
    reloading.look(200.0 + READING_SECONDS_MAX + ANSWER_SECONDS_MAX)
    for number, ok in ((1, True), (2, False)):
        assert reloading.answered(answer(number, ok=ok), 300.0)
        assert reloading.second is NEW
    assert reloading.answered(answer(2), 301.0)
    assert (ids(reloading.keys), reloading.second) == (["ocx_kid_old", "ocx_kid_new"], None)


def test_a_key_that_stays_is_no_word_about_keys() -> None:
    for kept in (OLD, None):
        reloading = asked(kept)
        assert ids(reloading.keys) == ["ocx_kid_old"]
        assert reloading.answered(answer(), 101.0)
        assert reloading.report is not None
        assert reloading.report.sentence == "as scripted"


def test_of_three_keys_the_oldest_is_let_go() -> None:
    reloading = asked()
    reloading.answered(answer(), 101.0)
    newest = key.Key("ocx_sk_canary_newest", "ocx_kid_newest")
    assert reloading.asked(200.0)
    reloading.found(newest)
    assert ids(reloading.keys) == ["ocx_kid_new", "ocx_kid_newest"]


def test_a_problem_after_a_success_leaves_what_is_certain() -> None:
    """The old key may still be revoked: that a later file cannot be read makes it no key in use."""
    reloading = asked()
    reloading.answered(answer(), 101.0)
    assert reloading.asked(200.0)
    reloading.problem("the file is gone", 201.0)
    assert reloading.second is None
    assert reloading.report is not None
    assert reloading.report.sentence == "nothing was changed: the file is gone"


def test_asked_again_it_begins_again_afterwards() -> None:
    reloading = asked()
    assert not reloading.asked(100.5)
    assert reloading.again
    reloading.answered(answer(), 101.0)
    assert reloading.again
    assert reloading.asked(102.0)
    assert (reloading.number, reloading.again) == (2, False)


def test_a_file_that_hangs_is_given_up() -> None:
    reloading = Reloading(Keys(OLD))
    reloading.asked(100.0)
    reloading.look(100.0 + READING_SECONDS_MAX)
    assert reloading.state is State.IDLE
    assert reloading.report is not None
    assert not reloading.report.ok


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"reloaded": "x"}',
        b'{"epoch": "e", "in_flight": 0}',
        answer(2),
        answer()[:-3],
        answer().replace(b"1", b"Infinity", 1),
        answer().replace(b"1", b"NaN", 1),
    ],
)
def test_what_is_no_answer_to_this_reload_is_left_to_others(data: bytes) -> None:
    """A heartbeat, another number, nonsense: the judge of heartbeats gets it, and calls babble by its name."""
    reloading = asked()
    assert not reloading.answered(data, 101.0)
    assert reloading.state is State.ASKED
    assert not Reloading(Keys(OLD)).answered(answer(), 1.0), "nobody asked"


def test_an_answer_is_ok_only_if_it_says_so() -> None:
    said = answer_of(answer(ok=False))
    assert said is not None
    assert said["ok"] is False
    said = answer_of(json.dumps({"reloaded": 1, "ok": 1, "sentence": "", "sha256": ""}).encode())
    assert said is not None
    assert said["ok"] is False


# -- the exchange that tries both


class Tried(Rotating):
    """Notes which key each call went by; `status` by key, 0: an answer."""

    def __init__(self, keys: Keys, status: dict[str, int]) -> None:
        super().__init__("http://127.0.0.1:1", keys)
        self.status, self.by = status, list[str]()

    def attempt(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        secret = self.headers["x-api-key"]
        self.by.append(secret.rpartition("_")[2])
        status = self.status.get(secret, 0)
        if status < 0:
            raise NoAnswer("no whole answer within 2 s")
        if status:
            raise Refused(f"{method} {path}", status, 0.0)
        return b"[]"


def both(*order: key.Key) -> Keys:
    keys = Keys(order[0])
    keys.add(order[1])
    return keys


@pytest.mark.parametrize("status", DENIED)
def test_what_is_refused_to_one_key_goes_by_the_other(status: int) -> None:
    """Whichever was revoked, and whoever told whom too early: somebody can pull."""
    exchange = Tried(both(NEW, OLD), {NEW.secret: status})
    exchange.cancel_all()
    assert exchange.by == ["new", "old"]
    exchange = Tried(both(OLD, NEW), {OLD.secret: status})
    assert exchange.open_orders() == []
    assert exchange.by == ["old", "new"]


@pytest.mark.parametrize("status", [429, 500, 404])
def test_another_key_helps_against_nothing_else(status: int) -> None:
    """At 429 each further request makes the wait longer."""
    exchange = Tried(both(NEW, OLD), {NEW.secret: status})
    with pytest.raises(Refused) as refused:
        exchange.cancel_all()
    assert refused.value.status == status
    assert exchange.by == ["new"]


def test_no_answer_is_no_refusal_of_a_key() -> None:
    exchange = Tried(both(NEW, OLD), {NEW.secret: -1})
    with pytest.raises(NoAnswer):
        exchange.cancel_all()
    assert exchange.by == ["new"]


def test_refused_to_both_it_is_refused() -> None:
    exchange = Tried(both(NEW, OLD), {NEW.secret: 409, OLD.secret: 401})
    with pytest.raises(Refused) as refused:
        exchange.cancel_all()
    assert refused.value.status == 401


# -- its hands


def wanted(folder: Path, key_file: Path, *, paper: bool = False) -> ParentSettings:
    guard = GuardSettings(3.0, 8.0, 600.0, 3, 600.0)
    places = ("http://127.0.0.1:1", "", "", str(key_file))
    monitor = MonitorSettings(False, False, "")
    return ParentSettings(folder / "c.toml", folder, paper, 0, "a", "mk", False, *places, guard, monitor)


class Stage:
    """A conductor with a key's file, a run.json, and what it sent and said."""

    def __init__(self, folder: Path, status: dict[str, int], *, paper: bool = False) -> None:
        self.key_file, self.path = folder / "key", folder / running.RUN_FILE
        self.put(OLD)
        status_file = Status(self.path, {"guard_pid": os.getpid(), "maker_pid": 0, "key_id": OLD.key_id})
        status_file.tell()
        self.sent: list[bytes] = []
        self.said: list[tuple[str, str]] = []
        self.exchange = Tried(Keys(OLD), status)
        place = wanted(folder, self.key_file, paper=paper)
        self.conductor = Conductor(place, self.exchange, self.sent.append, status_file, self.say)

    def say(self, event: str, sentence: str) -> None:
        self.said.append((event, sentence))

    def put(self, kept: key.Key) -> None:
        self.key_file.unlink(missing_ok=True)
        self.key_file.touch(0o600)
        self.key_file.write_text(key.spell(kept, "bot"))

    def until(self, condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + WAIT_SECONDS_MAX
        while not condition():
            assert time.monotonic() < ends, (self.said, self.sent)
            self.conductor.look()
            time.sleep(0.005)

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.path.read_text())
        return status


@pytest.fixture(autouse=True)
def tries_by_the_stage(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A trial of a key makes its one call on an exchange of its own: answered by the script of the stage."""
    tried: list[str] = []

    def attempt(self: Exchange, method: str, path: str, _body: object = None) -> bytes:
        assert self.silent_seconds_max == CALL_SECONDS_MAX, "a thread that waits for ever would be the last reload"
        tried.append(f"{method} {path} {self.headers['x-api-key']}")
        if "bad" in self.headers["x-api-key"]:
            raise Refused(f"{method} {path}", 401, 0.0)
        return b"[]"

    monkeypatch.setattr(Exchange, "attempt", attempt)
    return tried


def test_another_key_is_tried_told_and_settled(tmp_path: Path, tries_by_the_stage: list[str]) -> None:
    """run.json names both while it is changed, so that `keys revoke` spares both; the new one alone afterwards."""
    stage = Stage(tmp_path, {})
    stage.put(NEW)
    stage.conductor.asked()
    stage.until(lambda: bool(stage.sent))
    assert tries_by_the_stage == [f"GET /perps/orders {NEW.secret}"]
    stage.until(lambda: stage.status.get("next_key_id") == NEW.key_id)
    assert running.keys_in_use(tmp_path) == (OLD.key_id, NEW.key_id)
    assert not stage.conductor.heard(b'{"epoch": "e"}')
    assert stage.conductor.heard(answer())
    stage.until(lambda: stage.status.get("reload") is not None)
    status = stage.status
    assert (status["key_id"], status["next_key_id"], status["config_sha256"]) == (NEW.key_id, None, "ab")
    assert status["reload"]["ok"] is True
    assert running.keys_in_use(tmp_path) == (NEW.key_id,)
    assert ("reloaded", f"{status['reload']['sentence']}.") in stage.said
    assert NEW.secret not in repr(stage.said) + stage.path.read_text()


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (key.Key("ocx_sk_canary_bad", "ocx_kid_bad", "trade"), "was answered 401"),
        (key.Key("ocx_sk_canary_new", "ocx_kid_new", "read"), "has the scope 'read'"),
        (
            key.Key("ocx_sk_canary_new", "ocx_kid_new", "trade", time.time() + 60.0),
            "nobody could pull what rests after that",
        ),
        (None, "cannot be read"),
    ],
)
def test_a_key_that_will_not_do_is_told_to_nobody(kept: key.Key | None, why: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path, {})
    stage.key_file.unlink()
    if kept is not None:
        stage.put(kept)
    stage.conductor.asked()
    stage.until(lambda: stage.status.get("reload") is not None)
    assert stage.sent == []
    assert stage.status["reload"]["ok"] is False
    assert why in stage.status["reload"]["sentence"]
    assert stage.status["key_id"] == OLD.key_id
    assert ids(stage.exchange.keys) == ["ocx_kid_old"]


def test_a_key_that_hangs_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch goes on looking; a second request does not pile up another thread."""
    stage = Stage(tmp_path, {})
    stage.put(NEW)
    free = threading.Event()
    monkeypatch.setattr(Exchange, "attempt", lambda *_words: free.wait(WAIT_SECONDS_MAX))
    stage.conductor.asked()
    began = time.monotonic()
    for _ in range(50):
        stage.conductor.look()
    stage.conductor.asked()
    assert time.monotonic() - began < 5.0
    assert stage.sent == []
    stage.conductor.reloading.until = 0.0
    for _ in range(3):
        stage.conductor.look()
    assert [event for event, _ in stage.said] == ["reload", "not reloaded", "reload"]
    assert "still waits" in stage.said[-1][1]
    stage.conductor.asked()
    assert "still waits" in stage.said[-1][1]
    free.set()
    trial = stage.conductor.trial
    assert trial is not None
    assert trial.thread is not None
    trial.thread.join()
    stage.conductor.asked()
    stage.until(lambda: bool(stage.sent))


def test_asked_again_while_the_key_is_read_it_begins_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changed the file a moment later waits for what comes of that, and not for nothing."""
    stage = Stage(tmp_path, {})
    stage.put(NEW)
    free = threading.Event()
    monkeypatch.setattr(Exchange, "attempt", lambda *_words: free.wait(WAIT_SECONDS_MAX))
    stage.conductor.asked()
    stage.conductor.asked()
    free.set()
    stage.until(lambda: bool(stage.sent))
    assert stage.conductor.heard(answer())
    stage.until(lambda: len(stage.sent) == 2)
    assert stage.conductor.heard(answer(2))


def test_without_a_thread_nothing_is_read_and_the_watch_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of tasks is used up: said, and tried again when asked again. run.json misses it until then."""
    stage = Stage(tmp_path, {})
    stage.put(NEW)

    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", none)
        stage.conductor.asked()
        stage.conductor.look()
    assert "there is no thread to be had" in stage.said[-1][1]
    assert stage.sent == []
    stage.conductor.asked()
    stage.until(lambda: bool(stage.sent))


class Overtaken(Status):
    """A run.json whose first change is held up on its way to the disk, and overtaken by the second."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, {})
        self.begun, self.free = threading.Event(), threading.Event()

    def tell(self, **fields: Any) -> None:
        if not self.begun.is_set():
            self.begun.set()
            self.free.wait(WAIT_SECONDS_MAX)
        super().tell(**fields)
        self.free.set()


def test_run_json_ends_with_what_was_said_last(tmp_path: Path) -> None:
    """Else it would name keys of a reload before: `keys revoke` spares those that it names."""
    status, before = Overtaken(tmp_path / running.RUN_FILE), set(threading.enumerate())
    told = Amended(status)
    told.amend(next_key_id="ocx_kid_new")
    assert status.begun.wait(WAIT_SECONDS_MAX)
    told.amend(next_key_id=None, key_id="ocx_kid_new")
    if not status.free.wait(0.2):
        status.free.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT_SECONDS_MAX)
    assert json.loads(status.path.read_text()) == {"next_key_id": None, "key_id": "ocx_kid_new"}


def test_a_practice_key_is_not_read(tmp_path: Path) -> None:
    stage = Stage(tmp_path, {}, paper=True)
    stage.key_file.unlink()
    stage.conductor.asked()
    stage.until(lambda: bool(stage.sent))
    assert json.loads(stage.sent[0]) == {"reload": 1, "key_digest": ""}


# -- the command

GUARD = """
import json, os, signal, sys, time
path, ok, late = sys.argv[2], sys.argv[3] == "ok", sys.argv[4] == "late"

def tell(began):
    told = {"began": began, "ok": ok, "sentence": "as scripted"}
    with open(path + ".part", "w") as file:
        json.dump({"guard_pid": os.getpid(), "reload": told, "config_sha256": "ab", "key_id": "k"}, file)
    os.rename(path + ".part", path)

def asked(*_words):
    if late:
        os._exit(0)
    tell(time.clock_gettime(time.CLOCK_BOOTTIME))

signal.signal(signal.SIGUSR1, asked)
tell(0.0)
print("ready", flush=True)
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize(("behaviour", "late", "code"), [("ok", "", 0), ("no", "", 1), ("ok", "late", 1)])
def test_the_command_tells_what_came_of_it(
    behaviour: str, late: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of this very request: what an earlier one came to is no answer. A run that ends meanwhile has none."""
    configuration = tmp_path / "c.toml"
    configuration.write_text(f'state_folder = "{tmp_path}"\n')
    words = [sys.executable, "-c", GUARD, "maker", str(tmp_path / running.RUN_FILE), behaviour, late]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as guard:
        assert guard.stdout is not None
        guard.stdout.readline()
        assert reload_command.main([str(configuration), "--json"]) == code
        guard.kill()
    said = json.loads(capsys.readouterr().out)
    assert said["exit_code"] == code
    assert said["reason"] == ("As scripted." if not late else said["reason"])
    assert not late or "has ended meanwhile" in said["reason"]


def test_the_command_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration = tmp_path / "c.toml"
    assert reload_command.main([str(configuration)]) == 78
    configuration.write_text(f'state_folder = "{tmp_path}"\n')
    assert reload_command.main([str(configuration)]) == 78
    assert "No maker runs with this configuration" in capsys.readouterr().err
