"""The words of `keys`, the questions for what was not said, and the warnings."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest

from maker.app import key_words
from maker.app.key_words import QUESTIONS_MAX, UsageError, addresses, days, parse, warnings
from maker.wire import ocx


def wanted(**more: object) -> ocx.ApiKeyRequest:
    usual: dict[str, object] = {"name": "n", "scope": "trade", "allowed_ips": ["8.8.8.8"], "expires_in_days": 30}
    return ocx.ApiKeyRequest(**{**usual, **more})  # type: ignore[arg-type]


def answering(answers: Iterable[str], asked: list[str]) -> Callable[[str], str]:
    left = iter(answers)

    def ask(question: str) -> str:
        asked.append(question)
        return next(left)

    return ask


def test_everything_may_be_said() -> None:
    words = parse(
        ["create", "c.toml", "--scope", "trade", "--ip", "203.0.113.7", "--ip", "2001:DB8::7", "--days", "90",
         "--name", "bot 1", "--out", "k", "--wallet-file", "w", "--json"],
        None,
    )  # fmt: skip
    assert words.wanted == wanted(name="bot 1", allowed_ips=["203.0.113.7", "2001:db8::7"], expires_in_days=90)
    assert (words.out, words.wallet_file, words.as_json, str(words.configuration)) == ("k", "w", True, "c.toml")


def test_nobody_there_means_no_pins_and_no_expiry_but_never_a_guessed_scope() -> None:
    assert parse(["create", "c", "--scope", "read"], None).wanted == wanted(
        name="maker", scope="read", allowed_ips=[], expires_in_days=None
    )
    with pytest.raises(UsageError, match="--scope is missing"):
        parse(["create", "c"], None)


def test_what_is_not_said_is_asked_for() -> None:
    """Scope, pins, expiry and the place of the secret, in this order; nonsense is asked again."""
    asked: list[str] = []
    ask = answering(["all", "trade\n", "ocx.test", "8.8.8.8, 1.1.1.1 8.8.8.8", "soon", "7", " k \n"], asked)
    words = parse(["create", "c"], ask)
    assert words.wanted == wanted(name="maker", allowed_ips=["8.8.8.8", "1.1.1.1"], expires_in_days=7)
    assert words.out == "k"
    kinds = [question.split()[0] for question in asked]
    assert kinds == ["Scope", "Scope", "Addresses", "Addresses", "Days", "Days", "Write"]


def test_what_is_said_is_not_asked_for() -> None:
    asked: list[str] = []
    said = ["create", "c", "--scope", "read", "--any-ip", "--no-expiry", "--out", "k"]
    words = parse(said, answering([], asked))
    assert (words.wanted, asked) == (wanted(name="maker", scope="read", allowed_ips=[], expires_in_days=None), [])


def test_empty_answers_are_none_and_are_warned_about() -> None:
    words = parse(["create", "c"], answering(["trade", "", "\n", ""], []))
    assert words.wanted == wanted(name="maker", allowed_ips=[], expires_in_days=None)
    assert words.out == ""
    assert words.wanted is not None
    first, second = warnings(words.wanted, is_local=False)
    assert "no pinned address" in first
    assert "no expiry" in second


def test_questions_end() -> None:
    asked: list[str] = []
    with pytest.raises(UsageError, match="read or trade"):
        parse(["create", "c"], answering(["x"] * 9, asked))
    assert len(asked) == QUESTIONS_MAX


def test_list_and_revoke_have_their_words() -> None:
    assert parse(["list", "c", "--wallet-file", "w"], None).wallet_file == "w"
    words = parse(["revoke", "c", "ocx_kid_1", "--anyway"], None)
    assert (words.action, words.key_id, words.anyway, words.wanted) == ("revoke", "ocx_kid_1", True, None)


@pytest.mark.parametrize(
    "said",
    [
        [],
        ["make", "c"],
        ["create"],
        ["revoke", "c"],
        ["create", "c", "--scope", "admin"],
        ["create", "c", "--ip", "8.8.8.8", "--any-ip"],
        ["create", "c", "--days", "3", "--no-expiry"],
    ],
)
def test_words_that_make_no_sense_are_a_usage_error(said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(said, None)
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" , ", []),
        ("8.8.8.8", ["8.8.8.8"]),
        ("2001:DB8:0::1", ["2001:db8::1"]),
        ("1.1.1.1,1.1.1.1", ["1.1.1.1"]),
    ],
)
def test_addresses(text: str, found: list[str]) -> None:
    assert addresses(text) == found


@pytest.mark.parametrize("text", ["10.0.0.0/8", "ocx.test", "1.2.3", "1.2.3.4 x", "256.1.1.1", "::1%eth0/64"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(UsageError, match="single addresses") as wrong:
        addresses(text)
    assert text not in str(wrong.value)


@pytest.mark.parametrize(("text", "found"), [("", None), ("1", 1), ("3650", 3650), ("030", 30)])
def test_days(text: str, found: int | None) -> None:
    assert days(text) == found


@pytest.mark.parametrize("text", ["0", "3651", "-1", "1.5", "1e1", "\u0661", "999999999999"])
def test_no_days(text: str) -> None:
    with pytest.raises(UsageError, match="whole number"):
        days(text)


def test_warnings() -> None:
    """A private address is one that only an exchange on this machine sees."""
    assert warnings(wanted(), is_local=False) == []
    (private,) = warnings(wanted(allowed_ips=["8.8.8.8", "192.168.1.5"]), is_local=False)
    assert private.startswith("192.168.1.5 is no public address")
    assert warnings(wanted(allowed_ips=["127.0.0.1"]), is_local=True) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_questions_go_to_a_person_and_never_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """stdout belongs to the result; a pipe is nobody to ask; the end of the input answers nothing."""
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    assert key_words.terminal() is None
    said = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal("trade\n"))
    assert key_words.terminal() is None
    monkeypatch.setattr("sys.stderr", said)
    ask = key_words.terminal()
    assert ask is not None
    assert ask("Scope: ") == "trade\n"
    assert said.getvalue() == "Scope: "
    with pytest.raises(UsageError, match="nobody answers"):
        ask("Scope: ")
    assert capsys.readouterr().out == ""
