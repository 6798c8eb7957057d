"""The API key: taken only from where nobody else can read it, and in no message (S18)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from maker.launch import key
from maker.wire import ocx

KEY = "ocx_sk_not_a_real_key_0123456789"


def key_file(folder: Path, content: str, mode: int) -> Path:
    path = folder / "key"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    return path


def test_both_spellings_of_the_prefix_are_one() -> None:
    """The guard may not import the wire floor, so it spells the prefix itself."""
    assert key.KEY_PREFIX == ocx.KEY_PREFIX


def test_the_variable_comes_before_the_file(tmp_path: Path) -> None:
    path = key_file(tmp_path, KEY + "_of_file\n", 0o600)
    assert key.read_key("OCX_API_KEY", str(path), {"OCX_API_KEY": KEY}) == KEY
    assert key.read_key("", str(path), {"OCX_API_KEY": KEY}) == KEY + "_of_file"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(tmp_path: Path, mode: int) -> None:
    assert key.read_key("", str(key_file(tmp_path, KEY, mode)), {}) == KEY


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o700])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, KEY, mode)
    with pytest.raises(key.NoKey, match="others may read it") as refused:
        key.read_key("", str(path), {})
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(("owner", "read"), [((0, 0), True), ((1000, 0), False), ((0, 1000), False)])
def test_group_root_may_read_what_root_owns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: tuple[int, int], read: bool
) -> None:
    """A credential of systemd is root's, mode 0440: its group bits are the mask of the one user named in its ACL."""
    path = key_file(tmp_path, KEY, 0o440)
    found = os.stat(path)
    told = os.stat_result((*found[:4], *owner, *found[6:]))
    monkeypatch.setattr("os.fstat", lambda _descriptor: told)
    if read:
        assert key.read_key("", str(path), {}) == KEY
    else:
        with pytest.raises(key.NoKey, match="others may read it"):
            key.read_key("", str(path), {})


@pytest.mark.parametrize("content", ["", "sk_something", KEY + " " + KEY, KEY + "ä"])
def test_what_is_no_key_is_refused_and_not_repeated(content: str) -> None:
    with pytest.raises(key.NoKey, match="holds no API key") as refused:
        key.read_key("OCX_API_KEY", "", {"OCX_API_KEY": content})
    assert not content or content not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(key.NoKey, match="No such file"):
        key.read_key("", str(tmp_path / "none"), {})


# -- what is noted beside a key


def test_notes_are_read_as_they_are_written(tmp_path: Path) -> None:
    """From a file and from a variable that holds the whole of one."""
    made = key.Key(KEY, "ocx_kid_1", "trade", 1_800_000_000.0, ("203.0.113.7", "2001:db8::7"))
    text = key.spell(made, "bot: on host # 7")
    assert text.splitlines()[0] == KEY
    assert "# allowed-ips: 203.0.113.7 2001:db8::7\n" in text
    for found in (
        key.read("", str(key_file(tmp_path, text, 0o600)), {}),
        key.read("KEY", "", {"KEY": text.strip()}),
    ):
        assert (found.secret, found.key_id, found.scope, found.expires_at) == (KEY, "ocx_kid_1", "trade", 1.8e9)
        assert found.allowed_ips == ("203.0.113.7", "2001:db8::7")
        assert KEY not in repr(found)


@pytest.mark.parametrize(
    ("line", "expires_at"),
    [
        ("# expires: never", math.inf),
        ("# expires: 2026-12-22T06:58:39+01:00", 1797919119.0),
        ("# expires: 2026-12-22T06:58:39", None),
        ("# expires: soon", None),
        ("#expires:never", math.inf),
        ("# a word", None),
        ("#", None),
    ],
)
def test_what_no_note_says_is_not_known(line: str, expires_at: float | None) -> None:
    found = key.read("KEY", "", {"KEY": f"{KEY}\r\n\n{line}\n"})
    assert (found.secret, found.key_id, found.scope, found.expires_at) == (KEY, "", "", expires_at)
    assert found.allowed_ips is None


def test_a_key_without_expiry_or_pins_says_so() -> None:
    for expires_at in (None, math.inf):
        text = key.spell(key.Key(KEY, "ocx_kid_1", "read", expires_at, ()), "n")
        assert "# allowed-ips: any\n" in text
        assert key.read("KEY", "", {"KEY": text}).allowed_ips == ()
        assert "# expires: never\n" in text


def test_a_file_has_a_length(tmp_path: Path) -> None:
    with pytest.raises(key.NoKey, match="longer than"):
        key.read("", str(key_file(tmp_path, KEY + "\n#" + "x" * key.KEY_BYTES_MAX, 0o600)), {})


@pytest.mark.parametrize("rest", ["word", "ocx_sk_another", "# fine\nword"])
def test_anything_but_notes_after_a_key_is_refused_and_not_repeated(rest: str) -> None:
    with pytest.raises(key.NoKey, match="holds no API key") as refused:
        key.read("KEY", "", {"KEY": f"{KEY}\n{rest}"})
    assert KEY not in str(refused.value)
    assert "another" not in str(refused.value)


def said(check: Callable[[], None]) -> str:
    """What a key is refused with; "" where it is not."""
    try:
        check()
    except key.Unfit as unfit:
        return str(unfit)
    return ""


@pytest.mark.parametrize(("scope", "refused"), [("", False), ("trade", False), ("read", True), ("admin", True)])
def test_a_key_that_may_not_trade_is_told_what_to_do(scope: str, refused: bool) -> None:
    why = said(lambda: key.refuse_scope(key.Key(KEY, "ocx_kid_1", scope), "conf/live.toml"))
    assert bool(why) == refused
    assert not refused or "python3 run.py keys create conf/live.toml --scope trade" in why
    assert KEY not in why


@pytest.mark.parametrize(
    ("expires_at", "words"),
    [
        (None, ""),
        (math.inf, ""),
        (1720.0, ""),
        (1719.0, "expires in 12 min"),
        (1000.0, "has expired"),
        (0.0, "has expired"),
    ],
)
def test_a_key_that_ends_too_soon_is_told_what_to_do(expires_at: float | None, words: str) -> None:
    ours = key.Key(KEY, "ocx_kid_1", "trade", expires_at)
    why = said(lambda: key.refuse_short_life(ours, 720.0, 1000.0, "conf/live.toml"))
    assert bool(why) == bool(words)
    assert words in why
    assert not words or "keys create conf/live.toml" in why


def test_each_refusal_says_what_it_means() -> None:
    """What was read a moment ago tells a scope from an expiry."""
    for status in (401, 403):
        assert "scope 'read'" in key.denied_sentence(status, read_before=True, configuration="c")
        assert "expired or revoked" in key.denied_sentence(status, read_before=False, configuration="c")
    assert "was revoked" in key.denied_sentence(409, read_before=False, configuration="c")
