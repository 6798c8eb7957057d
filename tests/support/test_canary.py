"""The canary sings: a leak is found wherever it is planted, in whatever form, and what is none is not."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.support.canary import leaks_in, leaks_in_words, leaks_of_process, leaks_under
from tests.support.wallets import ADDRESS, KEY

API_KEY = "ocx_sk_3f9a1c5e7b2d4f60718293a4b5c6d7e8f9a0b1c2"
HOOK = "/services/T0CANARY/B1/a-token.of_the=hook+1"
SHORT = "ocx_sk_canary"  # no half of it is long enough


def base64_after(before: int) -> Callable[[str], str]:
    """In base64, within a longer text that begins with so many other letters."""
    return lambda text: base64.b64encode(b"Bearer"[:before] + text.encode() + b"; more").decode()


FORMS: dict[str, Callable[[str], str]] = {
    "itself": lambda text: f"x-api-key: {text}\r\n",
    "capitals": lambda text: f"<{text.upper()}>",
    "first half": lambda text: f"{text[: len(text) // 2]}…",
    "second half": lambda text: f"…{text[len(text) // 2 :]}",
    "hexadecimal": lambda text: text.encode().hex(),
    "HEXADECIMAL": lambda text: text.encode().hex().upper(),
    "hexadecimal of a half": lambda text: text.encode()[-len(text) // 2 :].hex(" "),
    "URL": lambda text: f"http://h/?key={quote(text, safe='')}",
    "form": lambda text: f"key={quote_plus(text)}&more=1",
    "every letter of a URL": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "JSON": lambda text: json.dumps({"a": text}).replace("/", "\\/"),
    "JSON's escapes": lambda text: "".join(f"\\u{byte:04x}" for byte in text.encode()),
    "Python's escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "backwards": lambda text: text[::-1],
    **{f"base64 after {before}": base64_after(before) for before in range(5)},
    "base64 of a half": lambda text: base64.urlsafe_b64encode(b"x" + text.encode()[: len(text) // 2]).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [API_KEY, HOOK, KEY])
def test_a_form_is_found(form: str, secret: str) -> None:
    """And the finding tells which secret and where, not what it is."""
    content = f"before {FORMS[form](secret)} after".encode()
    other = {"another": "other" * 9}
    (found,) = leaks_in("a log", content, {**other, "the key": secret})
    assert found == "the key is in a log"
    assert leaks_in("a log", content, other) == []


def test_a_number_is_found_as_one() -> None:
    """A wallet's key as bytes, in base64, in decimal."""
    raw = bytes.fromhex(KEY)
    for content in (raw, base64.b64encode(b"a" + raw), repr(raw).encode(), str(int(KEY, 16)).encode()):
        assert leaks_in("it", b"<" + content + b">", [KEY]) == ["secret 0 is in it"]


def test_what_is_no_leak() -> None:
    """The prefix that all keys have, less than half of one, a digest of one, half of a short one."""
    for content in ("ocx_sk_", API_KEY[:19], API_KEY[-21:-1], ADDRESS, "ocx_sk_[redacted]"):
        assert leaks_in("it", content.encode(), [API_KEY, KEY]) == [], content
    assert leaks_in("it", b"ocx_sk_no, canary", [SHORT]) == []


def test_a_file_is_looked_through_and_its_name(tmp_path: Path) -> None:
    log, named, kept = tmp_path / "log", tmp_path / "a" / f"dump-{API_KEY}", tmp_path / "key"
    named.parent.mkdir()
    for path in (log, named, kept):
        path.write_text("nothing")
    log.write_text(f"the key is 0x{KEY.upper()}.")
    kept.write_text(API_KEY)
    found = leaks_under(tmp_path, ["other" * 9, KEY, API_KEY], but=[kept])
    assert found == [f"secret 2 is in the name {named.parent}/…", f"secret 1 is in {log}"]


def test_a_row_is_found_where_only_the_write_ahead_log_has_it(tmp_path: Path) -> None:
    """The journal of a maker that runs, or was killed."""
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE changes (sentence TEXT)")
        database.commit()
        assert leaks_under(tmp_path, [API_KEY]) == []
        database.execute("INSERT INTO changes VALUES (?)", (API_KEY,))
        database.commit()
        found = {leak.rpartition("/")[2] for leak in leaks_under(tmp_path, [API_KEY])}
        assert found == {"journal.sqlite", "journal.sqlite-wal"}


def test_a_long_row_is_found_which_is_kept_in_pieces(tmp_path: Path) -> None:
    """SQLite keeps some 489 bytes of a long one where it belongs, and the rest elsewhere."""
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE changes (sentence TEXT)")
        database.execute("INSERT INTO changes VALUES (?)", (f"{'x' * 480}{SHORT}{'y' * 8000}",))
        database.commit()
    assert SHORT.encode() not in path.read_bytes(), "it is in two pieces"
    assert leaks_under(tmp_path, [SHORT]) == [f"secret 0 is in {path}"]


@pytest.mark.parametrize("leak", ["words", "environment"])
def test_a_process_is_looked_at(leak: str) -> None:
    """Its words, also where only the machine knows of it, and its environment."""
    words = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    words += [quote(API_KEY, safe="")] if leak == "words" else []
    environment = {"LEAK": API_KEY} if leak == "environment" else {}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(leaks_of_process(process.pid, [API_KEY])) == 1
        assert leaks_of_process(process.pid, [KEY]) == []
        everywhere = leaks_in_words({"the key": API_KEY})
        assert everywhere == ([f"the key is in cmdline of {process.pid}"] if leak == "words" else [])
        process.communicate(b"")
