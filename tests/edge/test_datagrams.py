"""Latest-only datagrams over real Unix sockets: nobody there, too much to take, a long path, one in another's place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import trio

from maker.edge.datagrams import ADDRESS_BYTES_MAX, Receiver, Sender

BYTES_MAX = 1 << 16


async def test_the_latest_is_received(tmp_path: Path) -> None:
    sender, receiver = Sender(tmp_path / "a.sock"), Receiver(tmp_path / "a.sock")
    for number in range(3):
        assert sender.send_nowait(b"%d" % number)
    assert await receiver.receive_latest(BYTES_MAX) == b"2"
    assert receiver.latest_nowait(BYTES_MAX) is None
    async with trio.open_nursery() as nursery:
        got: list[bytes] = []

        async def wait() -> None:
            got.append(await receiver.receive_latest(BYTES_MAX))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        sender.send_nowait(b"later")
    assert got == [b"later"]
    sender.close()
    receiver.close()
    assert list(tmp_path.iterdir()) == [], "the file goes with its receiver"


def test_nobody_there_is_nothing(tmp_path: Path) -> None:
    """Before, between and after receivers: nothing is raised, and the next one hears what is sent then."""
    sender = Sender(tmp_path / "a.sock")
    assert not sender.send_nowait(b"x")
    receiver = Receiver(tmp_path / "a.sock")
    assert sender.send_nowait(b"y")
    receiver.close()
    assert not sender.send_nowait(b"z")
    again = Receiver(tmp_path / "a.sock")
    assert sender.send_nowait(b"w")
    assert again.latest_nowait(BYTES_MAX) == b"w"
    sender.close()
    again.close()


def test_somebody_who_does_not_read_costs_nothing(tmp_path: Path) -> None:
    """A full buffer takes no more, and nothing waits or is raised; read empty, it takes again."""
    sender, receiver = Sender(tmp_path / "a.sock"), Receiver(tmp_path / "a.sock")
    taken = sum(sender.send_nowait(b"x" * 8000) for _ in range(2000))
    assert 0 < taken < 2000
    assert receiver.latest_nowait(BYTES_MAX) == b"x" * 8000
    assert sender.send_nowait(b"y")
    assert receiver.latest_nowait(BYTES_MAX) == b"y"
    sender.close()
    receiver.close()


def test_a_datagram_larger_than_sockets_carry_is_dropped(tmp_path: Path) -> None:
    sender, receiver = Sender(tmp_path / "a.sock"), Receiver(tmp_path / "a.sock")
    assert not sender.send_nowait(b"x" * (8 << 20))
    sender.close()
    receiver.close()


def test_the_socket_is_closed_to_others_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mode is set before it gets the name that it can be found by."""
    modes: list[int] = []
    rename = Path.rename

    def seen(self: Path, target: Path) -> Path:
        modes.append(stat.S_IMODE(self.stat().st_mode))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", seen)
    receiver = Receiver(tmp_path / "a.sock")
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o600
    receiver.close()


async def test_a_path_longer_than_an_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    assert len(os.fsencode(folder / "a.sock")) > ADDRESS_BYTES_MAX
    descriptors = len(os.listdir("/proc/self/fd"))
    sender, receiver = Sender(folder / "a.sock"), Receiver(folder / "a.sock")
    assert sender.send_nowait(b"far")
    assert await receiver.receive_latest(BYTES_MAX) == b"far"
    sender.close()
    receiver.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert os.listdir(folder) == []


def test_a_receiver_takes_the_place_of_one_that_was_killed_and_leaves_its_successor_alone(tmp_path: Path) -> None:
    """What a killed one left is no obstacle; closing the old one does not take the new one's file away."""
    old = Receiver(tmp_path / "a.sock")
    new = Receiver(tmp_path / "a.sock")
    sender = Sender(tmp_path / "a.sock")
    old.close()
    assert sender.send_nowait(b"x")
    assert new.latest_nowait(BYTES_MAX) == b"x"
    new.close()
    sender.close()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Receiver(tmp_path / "gone" / "a.sock")
    sender = Sender(tmp_path / "gone" / "a.sock")
    assert not sender.send_nowait(b"x")
    sender.close()
