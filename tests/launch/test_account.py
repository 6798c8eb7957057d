"""Which account a button speaks for: what keeps a start from starting must not keep anybody from cancelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from maker.launch.account import Stopped, account, load
from tests.support.venue_script import ScriptedExchange, order

from .test_buttons import KEY, conf, press


def test_a_key_that_others_may_read_cancels_all_the_same_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service has a private copy of it: that the file is not private shows when the stop command needs it."""
    kept = tmp_path / "key"
    kept.write_text(KEY + "\n")
    kept.chmod(0o644)
    with ScriptedExchange([order()]) as exchange:
        path = conf(tmp_path, exchange.url)
        ours = account(*load(path), str(kept))
        assert ours.key == KEY
        assert "others may read it" in ours.warning
        assert press(capsys, "cancel-all", str(path), "--no-latch", "--key-file", str(kept))["exit_code"] == 0
        assert exchange.resting == []


def test_a_key_that_is_not_there_cancels_nothing_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(Stopped, match=r"NOTHING WAS CANCELLED, quotes may rest: .* cannot be read") as stopped:
        account(*load(conf(tmp_path, "http://127.0.0.1:9")), str(tmp_path / "none"))
    assert stopped.value.exit_code == 78
