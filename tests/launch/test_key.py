"""The API key: taken only from where nobody else can read it, and in no message (S18)."""

from __future__ import annotations

import os
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
