"""`keys`, against the practice exchange: made, kept, shown, revoked; and what goes wrong on the way."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio
import trio.testing

from maker.app import key_making, key_words, keys, wallets
from maker.app.config import Exchange
from maker.app.key_making import NewFile
from maker.app.key_telling import Outcome, Undone
from maker.app.keys import Desk
from maker.edge import api_keys
from maker.edge.session import Session
from maker.edge.wallet import WalletKey
from maker.errors import ConfigError, ExitCode, OutcomeUnknown, Refused, StartRefused, Unauthorized
from maker.launch import key, running
from maker.wire import ocx
from maker.wire.access import KeySeen
from tests.support.office import URL, Office, open_office, wall
from tests.support.wallets import ADDRESS, KEY, HeldWallet

Clock = trio.testing.MockClock  # each test asks for it: no second of it is real

CONF: Final = "conf.toml"
CREATE: Final = ("create", CONF, "--scope", "trade", "--ip", "192.0.2.1", "--days", "30")


@attrs.define
class Counter:
    """The command in the middle of a practice exchange's day."""

    office: Office
    folder: Path
    wallet: Any = attrs.field(factory=HeldWallet)

    async def run(self, *words: str, act: Any = None) -> Outcome:
        """Do what the words say, as `run` does it, but in memory."""
        parsed = key_words.parse([str(word) for word in words], None)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(NewFile.made(parsed.out)) if parsed.out else None
            desk = Desk(parsed, Exchange(base_url=URL), self.folder, file, wall)
            actions = {"create": keys.make, "list": keys.show, "revoke": keys.revoke}
            return await keys.signed_in(desk, self.wallet, act or actions[parsed.action])

    @property
    def sessions(self) -> int:
        """How many are not ended on the exchange."""
        return len(self.office.venue.venue.routes.office.desk.sessions)

    async def status(self, secret: str) -> int:
        return (await self.office.client({"x-api-key": secret}).get(ocx.ORDERS)).status


@pytest.fixture
async def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock) -> AsyncIterator[Counter]:
    async with open_office() as office:

        @attrs.frozen
        class Place:
            tls: None = None
            dial: Any = office.network.dial

        async def resolve(_url: str, _trusts: object) -> Place:
            return Place()

        monkeypatch.setattr(keys, "resolve", resolve)
        yield Counter(office, tmp_path)


# -- create -------------------------------------------------------------------------------------------------------


async def test_a_secret_goes_straight_into_a_new_file(
    counter: Counter, autojump_clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """0600, with what is known of the key; it works; nothing shows it; the session is over."""
    path = counter.folder / "new" / "key"
    outcome = await counter.run(*CREATE, "--out", str(path), "--name", "bot on 7")
    assert outcome.exit_code is ExitCode.CLEAN
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    kept = key.read("", str(path), {})
    assert kept.scope == "trade"
    assert kept.expires_at == pytest.approx(wall() + 30 * 86_400, abs=2)
    assert "# name: bot on 7\n" in path.read_text()
    assert "# allowed-ips: 192.0.2.1\n" in path.read_text()
    assert await counter.status(kept.secret) == 200
    assert outcome.fields["key"]["id"] == kept.key_id
    assert outcome.fields["key"]["days_left"] == 30.0
    assert (outcome.fields["proved"], outcome.fields["file"]) == (True, str(path))
    shown = capsys.readouterr()
    everything = shown.out + shown.err + outcome.reason + repr(outcome) + json.dumps(outcome.fields)
    assert kept.secret not in everything
    assert "in 30.0 days" in outcome.reason
    assert f"Signed in as {ADDRESS}" in shown.err
    assert "WARNING" not in shown.err
    assert counter.sessions == 0


@pytest.mark.parametrize("umask", [0, 0o022, 0o277])
def test_a_new_file_is_ours_alone_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    """Written anew it holds the new text alone; one that was not written, or half, is gone again."""
    before = os.umask(umask)
    try:
        with NewFile.made(str(tmp_path / "key")) as file:
            file.write("a long text")
            file.write("short")
    finally:
        os.umask(before)
    assert (tmp_path / "key").read_text() == "short"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with NewFile.made(str(tmp_path / "other")) as file:
        os.close(file.descriptor)
        file.descriptor = os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(OSError, match=r"No space left|Invalid argument"):
            file.write("text")
    assert not (tmp_path / "other").exists()


async def test_without_a_file_a_secret_is_shown_once(
    counter: Counter, autojump_clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = await counter.run(*CREATE)
    shown = capsys.readouterr()
    secret = outcome.fields["secret"]
    assert shown.out == f"The secret, shown this once:\n{secret}\n"
    assert secret not in shown.err + outcome.reason + repr(outcome)
    assert await counter.status(secret) == 200


async def test_with_json_it_is_in_the_object_alone(
    counter: Counter, autojump_clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = await counter.run(*CREATE, "--json")
    assert capsys.readouterr().out == ""
    assert await counter.status(outcome.fields["secret"]) == 200


async def test_no_key_is_made_for_a_file_that_cannot_be(counter: Counter, autojump_clock: Clock) -> None:
    """Nothing is asked of the exchange; what is there stays as it is, and so does what a link points to."""
    taken = counter.folder / "key"
    taken.write_text("mine")
    (counter.folder / "link").symlink_to(counter.folder / "elsewhere")
    for path in (taken, counter.folder / "link", taken / "key", counter.folder):
        with pytest.raises(ConfigError, match=r"--out: .* cannot be made"):
            await counter.run(*CREATE, "--out", str(path))
    assert counter.office.sent == b""
    assert taken.read_text() == "mine"
    assert not (counter.folder / "elsewhere").exists()


async def test_a_key_whose_secret_cannot_be_kept_is_revoked(
    counter: Counter, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: NewFile, _text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(NewFile, "write", full)
    path = counter.folder / "key"
    with pytest.raises(Undone, match=r"No space left on device.*revoked again"):
        await counter.run(*CREATE, "--out", str(path))
    assert not path.exists()
    (row,) = (await counter.run("list", CONF)).fields["keys"]
    assert row["status"] == "revoked"

    async def lost(_session: Session, _key_id: str) -> None:
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr(api_keys, "revoked", lost)
    with pytest.raises(Undone, match=r"could not be revoked \(no answer\): `keys revoke` ocx_kid_"):
        await counter.run(*CREATE, "--out", str(path))


async def test_an_answer_that_is_lost_is_looked_for(
    counter: Counter, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made and lost: it is named, to be revoked. Not made: that is said. Nobody tells: that too. No file is left."""
    real, path = api_keys.created, counter.folder / "key"

    async def made(session: Session, wanted: ocx.ApiKeyRequest) -> Any:
        await real(session, wanted)
        raise OutcomeUnknown("cut short")

    async def garbled(session: Session, wanted: ocx.ApiKeyRequest) -> Any:
        await real(session, wanted)
        raise ValueError("the new key's secret is not what OCX documents")

    async def not_made(_session: Session, _wanted: ocx.ApiKeyRequest) -> Any:
        raise OutcomeUnknown("no connection")

    await counter.run(*CREATE)
    for create in (made, garbled):
        monkeypatch.setattr(api_keys, "created", create)
        with pytest.raises(Undone, match=r"its secret is lost") as undone:
            await counter.run(*CREATE, "--out", str(path))
        rows = (await counter.run("list", CONF)).fields["keys"]
        assert str(undone.value).endswith(f"`keys revoke` {rows[-1]['id']}")
        assert not path.exists()
    monkeypatch.setattr(api_keys, "created", not_made)
    with pytest.raises(Undone, match="no key was made: no connection"):
        await counter.run(*CREATE, "--out", str(path))

    listed, calls = api_keys.listed, []

    async def unlisted(session: Session) -> tuple[KeySeen, ...]:
        calls.append(1)
        if len(calls) > 1:
            raise OutcomeUnknown("away")
        return await listed(session)

    monkeypatch.setattr(api_keys, "listed", unlisted)
    with pytest.raises(Undone, match="not known whether a key was made"):
        await counter.run(*CREATE)
    assert counter.sessions == 0


async def test_a_refusal_is_the_exchanges_word(counter: Counter, autojump_clock: Clock) -> None:
    """A refused creation leaves no file and no session."""
    path = counter.folder / "key"
    with pytest.raises(Refused, match="INVALID_NAME"):
        await counter.run(*CREATE, "--out", str(path), "--name", "x" * 64, act=too_long)
    assert not path.exists()
    assert counter.sessions == 0


async def too_long(session: Session, desk: Desk) -> Outcome:
    wanted = desk.words.wanted
    assert wanted is not None
    longer = ocx.ApiKeyRequest(name=wanted.name + "x", scope="trade", allowed_ips=[], expires_in_days=1)
    return await key_making.create(session, longer, desk.file, desk.show)


async def test_a_key_that_is_not_what_was_asked_for_is_said_and_noted(
    counter: Counter, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The notes in the file say what the exchange says: a run trusts them."""
    real, path = api_keys.listed, counter.folder / "key"
    ends_at = wall() + 86_400

    async def otherwise(session: Session) -> tuple[KeySeen, ...]:
        rows = await real(session)
        return tuple(attrs.evolve(row, scope="read", allowed_ips=(), expires_at=ends_at) for row in rows)

    monkeypatch.setattr(api_keys, "listed", otherwise)
    await counter.run(*CREATE, "--out", str(path))
    told = capsys.readouterr().err
    assert told.count("WARNING") == 3
    for words in ("scope 'read', not 'trade'", "pinned it to no address", "lets it expire"):
        assert words in told
    kept = key.read("", str(path), {})
    assert kept.scope == "read"
    assert kept.expires_at == pytest.approx(ends_at, abs=1)
    assert await counter.status(kept.secret) == 200
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_key_for_another_host_cannot_be_proved_from_here(counter: Counter, autojump_clock: Clock) -> None:
    outcome = await counter.run("create", CONF, "--scope", "read", "--ip", "198.51.100.7", "--no-expiry")
    assert outcome.exit_code is ExitCode.CLEAN
    assert outcome.fields["proved"] is False
    assert "IP_NOT_ALLOWED" in outcome.reason
    assert outcome.fields["key"]["days_left"] is None
    assert "never expires" in outcome.reason


async def test_a_list_that_fails_afterwards_does_not_lose_a_secret(
    counter: Counter, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = api_keys.listed, []

    async def once(session: Session) -> tuple[KeySeen, ...]:
        calls.append(1)
        if len(calls) > 1:
            raise OutcomeUnknown("away")
        return await real(session)

    monkeypatch.setattr(api_keys, "listed", once)
    outcome = await counter.run(*CREATE)
    assert set(outcome.fields["key"]) == {"id"}
    assert await counter.status(outcome.fields["secret"]) == 200


@pytest.mark.parametrize("steps", range(1, 40, 2))
async def test_interrupted_anywhere_a_secret_is_whole_in_its_file_or_there_is_no_file(
    counter: Counter, autojump_clock: Clock, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled after so many turns of the loop: a file that is left is a good key; a session that was told us ends."""
    path = counter.folder / "key"
    begun: list[int] = []

    class Watched(Session):
        async def sign_out(self) -> bool:
            begun.append(len(self.begun))
            return await Session.sign_out(self)

    monkeypatch.setattr(keys, "Session", Watched)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def interrupt() -> None:
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            nursery.start_soon(interrupt)
            await counter.run(*CREATE, "--out", str(path))
            nursery.cancel_scope.cancel()
    assert counter.sessions == 0 or begun in ([], [0])
    if path.exists():
        assert await counter.status(key.read("", str(path), {}).secret) == 200


# -- the wallet ---------------------------------------------------------------------------------------------------


async def test_a_typed_key_is_forgotten_as_soon_as_it_has_signed(counter: Counter, autojump_clock: Clock) -> None:
    """Before the first thing that the session is for."""
    counter.wallet = wallets.TypedWallet(WalletKey.of(KEY))
    seen: list[bytes] = []

    async def act(session: Session, _desk: Desk) -> Outcome:
        assert session.current is not None
        seen.append(bytes(counter.wallet.held.secret))
        return Outcome("done")

    await counter.run("list", CONF, act=act)
    assert seen == [bytes(32)]


async def test_a_wallet_that_is_not_accepted_is_a_matter_of_credentials(
    counter: Counter, autojump_clock: Clock
) -> None:
    @attrs.define
    class Posing(HeldWallet):
        def address(self) -> str:
            return "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"

    counter.wallet = Posing()
    with pytest.raises(Unauthorized) as refused:
        await counter.run("list", CONF)
    outcome = keys.failed(refused.value)
    assert outcome.exit_code is ExitCode.CREDENTIALS
    assert "INVALID_SIGNATURE" in outcome.reason


# -- list and revoke ----------------------------------------------------------------------------------------------


async def test_keys_are_listed_with_their_days(counter: Counter, autojump_clock: Clock) -> None:
    await counter.run(*CREATE, "--name", "bot")
    await counter.run("create", CONF, "--scope", "read", "--any-ip", "--no-expiry", "--name", "monitor")
    later = partial(float, wall() + 2 * 86_400)

    async def act(session: Session, desk: Desk) -> Outcome:
        session.wall = later
        return await keys.show(session, desk)

    outcome = await counter.run("list", CONF, act=act)
    head, bot, monitor = outcome.lines
    assert head.split() == ["ID", "NAME", "SCOPE", "STATUS", "DAYS", "LEFT", "ADDRESSES", "LAST", "USED"]
    assert bot.split()[1:6] == ["bot", "trade", "active", "28.0", "192.0.2.1"]
    assert monitor.split()[1:6] == ["monitor", "read", "active", "ever", "any"]
    assert outcome.reason == "2 keys, 2 of them active."
    assert [row["days_left"] for row in outcome.fields["keys"]] == [28.0, None]
    assert "ocx_sk_" not in "\n".join(outcome.lines) + json.dumps(outcome.fields)


async def test_a_key_is_revoked_and_read_back(counter: Counter, autojump_clock: Clock) -> None:
    """One that was just made may be: that it was tried does not count as use."""
    made = (await counter.run(*CREATE)).fields
    outcome = await counter.run("revoke", CONF, made["key"]["id"])
    assert outcome.fields["key"]["status"] == "revoked"
    assert await counter.status(made["secret"]) == 409
    again = await counter.run("revoke", CONF, made["key"]["id"])
    assert again.exit_code is ExitCode.CLEAN
    with pytest.raises(Undone, match="has no key ocx_kid_none"):
        await counter.run("revoke", CONF, "ocx_kid_none")


async def test_a_key_in_use_is_spared_unless_one_insists(counter: Counter, autojump_clock: Clock) -> None:
    """What rests under it could be pulled by nobody. Used lately, from anywhere, or by a run of this folder."""
    made = (await counter.run(*CREATE)).fields
    key_id = made["key"]["id"]
    await trio.sleep(keys.PROVED_SECONDS + 1)
    assert await counter.status(made["secret"]) == 200
    await trio.sleep(5)
    with pytest.raises(StartRefused, match=r"used 5 s ago, from 192\.0\.2\.1"):
        await counter.run("revoke", CONF, key_id)
    assert await counter.status(made["secret"]) == 200
    await trio.sleep(keys.IN_USE_SECONDS)
    run_file = counter.folder / running.RUN_FILE
    run_file.write_text(json.dumps({"guard_pid": os.getpid(), "maker_pid": 0, "key_id": key_id}))
    with pytest.raises(StartRefused, match="a run on this machine quotes with this key"):
        await counter.run("revoke", CONF, key_id)
    both = {"guard_pid": os.getpid(), "maker_pid": 0, "key_id": "ocx_kid_old", "next_key_id": key_id}
    run_file.write_text(json.dumps(both))  # while one is changed, either may be in use
    with pytest.raises(StartRefused, match="a run on this machine quotes with this key"):
        await counter.run("revoke", CONF, key_id)
    run_file.write_text(json.dumps({"guard_pid": 0, "maker_pid": 0, "key_id": key_id}))
    await counter.run("revoke", CONF, key_id)
    assert await counter.status(made["secret"]) == 409
    other = (await counter.run(*CREATE)).fields
    await trio.sleep(keys.PROVED_SECONDS + 1)
    await counter.status(other["secret"])
    await counter.run("revoke", CONF, other["key"]["id"], "--anyway")
    assert await counter.status(other["secret"]) == 409


async def test_a_revocation_without_effect_is_not_claimed(
    counter: Counter, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await counter.run(*CREATE)).fields

    async def nothing(_session: Session, _key_id: str) -> None:
        return

    monkeypatch.setattr(api_keys, "revoked", nothing)
    with pytest.raises(Undone, match=r"still lists .* as active"):
        await counter.run("revoke", CONF, made["key"]["id"])


# -- the command as a whole ---------------------------------------------------------------------------------------


def conf(folder: Path, url: str = "https://ocx.test", more: str = "") -> Path:
    """Only what `keys` looks at; the rest of the file may be broken or not written yet."""
    path = folder / "conf.toml"
    path.write_text(f'mode = "live"\nstate_folder = "{folder}"\n[exchange]\nbase_url = "{url}"\nkey_file = "k"\n{more}')
    return path


def ended(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = keys.main(argv)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["create", "CONF"], 2, "--scope is missing"),
        (["create", "CONF", "--scope", "trade", "--ip", "ocx.test"], 2, "single addresses"),
        (["create", "CONF", "--scope", "trade", "--days", "0"], 2, "whole number from 1"),
        (["create", "CONF", "--scope", "trade", "--name", ""], 2, "printable"),
        (["list", "CONF"], 78, "there is none"),
        (["list", "CONF", "--wallet-file", "none"], 78, "--wallet-file: cannot be read"),
        (["list", "nowhere.toml"], 78, "cannot read the configuration"),
    ],
)
def test_each_refusal_is_a_sentence_and_a_code(
    words: list[str],
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(wallets, "TERMINAL", str(tmp_path / "no terminal"))
    path = str(conf(tmp_path, url="http://127.0.0.1:9"))
    argv = [path if word == "CONF" else word for word in words]
    got, out, _ = ended(argv, capsys)
    assert (got, sentence in out) == (code, True), out
    got, out, _ = ended([*argv, "--json"], capsys)
    said = json.loads(out)
    assert (got, said["exit_code"], sentence in said["reason"]) == (code, code, True)


def test_the_practice_exchange_must_be_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "conf.toml"
    path.write_text(f'mode = "paper"\nstate_folder = "{tmp_path}"\n')
    code, out, _ = ended(["list", str(path), "--wallet-file", "w"], capsys)
    assert (code, "No practice exchange is running" in out) == (78, True)


def test_a_secret_in_the_configuration_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = conf(tmp_path, more='sign_in_domain = "ocx_sk_canary"\n')
    code, out, err = ended(["list", str(path), "--wallet-file", "w"], capsys)
    assert (code, "holds an API key" in out) == (78, True)
    assert "canary" not in out + err


@pytest.mark.parametrize(
    "word", [KEY, f"0x{KEY}", KEY.upper(), f"--wallet-key={KEY}", "ocx_sk_canary_1", "--name=ocx_sk_canary_1"]
)
@pytest.mark.parametrize("action", ["create", "list", "revoke"])
def test_a_secret_among_the_words_is_refused_and_not_repeated(
    word: str, action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ended([action, str(conf(tmp_path)), word], capsys)
    assert code == 2
    assert "process list" in out
    assert KEY[:16] not in (out + err).lower()
    assert "canary" not in out + err


def test_an_exchange_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file is left behind, and no traceback is shown."""
    wallet_file = tmp_path / "wallet"
    wallet_file.write_text(KEY)
    wallet_file.chmod(0o600)
    path, out_file = conf(tmp_path, url="http://127.0.0.1:9"), tmp_path / "key"
    words = ["create", str(path), "--scope", "trade", "--wallet-file", str(wallet_file), "--out", str(out_file)]
    code, out, err = ended(words, capsys)
    assert (code, out.startswith("not done: ")) == (1, True)
    assert "Traceback" not in out + err
    assert err.count("WARNING") == 2
    assert not out_file.exists()
    assert KEY[:16] not in out + err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 1, "interrupted"),
        (ZeroDivisionError("a bug"), 1, "not done: ZeroDivisionError: a bug"),
        (Undone("half of it"), 1, "half of it."),
        (ConfigError("--out", "is full.", "Empty it."), 78, "--out: is full. Empty it."),
        (ExceptionGroup("", [Unauthorized(401, "X", "no")]), 77, "does not accept this wallet"),
    ],
)
def test_whatever_fails_is_one_sentence(
    error: BaseException,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_words: object) -> Outcome:
        raise error

    monkeypatch.setattr(keys, "run", fail)
    got, out, err = ended(["list", str(conf(tmp_path))], capsys)
    assert (got, words in out) == (code, True), out
    assert err == ""


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        keys.main(["create", "--help"])
    assert left.value.code == 0
    assert "--wallet-file" in capsys.readouterr().out


def test_a_reader_that_has_gone_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code still tells."""

    class Gone(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    assert keys.main(["list", str(tmp_path / "none")]) == 78


def test_why_in_use() -> None:
    """Each way to be in use, and to not be."""
    row = KeySeen(
        key_id="k", name="n", scope="trade", allowed_ips=(), expires_at=None, created_at=0.0, revoked_at=None,
        last_used_at=1000.0, last_used_ip=None, status="active",
    )  # fmt: skip
    why: Callable[..., str] = partial(keys.why_in_use, row, ())
    assert "used 5 s ago, from an address that is not told" in why(1005.0)
    assert "used 0 s ago" in why(990.0)
    assert why(1000.0 + keys.IN_USE_SECONDS) == ""
    assert keys.why_in_use(attrs.evolve(row, last_used_at=None), (), 0.0) == ""
    assert keys.why_in_use(attrs.evolve(row, last_used_at=None), ("other",), 0.0) == ""
    assert "on this machine" in keys.why_in_use(attrs.evolve(row, last_used_at=None), ("other", "k"), math.inf)
    assert keys.why_in_use(attrs.evolve(row, created_at=998.0), (), 1001.0) == ""
    assert keys.why_in_use(attrs.evolve(row, created_at=None), (), 1001.0) != ""
