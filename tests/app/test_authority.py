"""An authority of this machine's own: what it vouches for, what is left of it, and what is said without openssl."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from maker.app import authority, practice
from maker.app.addresses import trusted
from maker.errors import ConfigError

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `--tls-folder` leaves."""
    made = tmp_path_factory.mktemp("tls") / "new"
    authority.server_context(made, "venue.test")
    return made


def test_the_authority_can_sign_nothing_more(folder: Path) -> None:
    """Its key is gone, and nobody else reads the server's."""
    assert {path.name for path in folder.iterdir()} == {authority.CA_FILE, authority.SERVER_FILE}
    assert stat.S_IMODE((folder / authority.SERVER_FILE).stat().st_mode) == 0o600
    assert "PRIVATE KEY" not in (folder / authority.CA_FILE).read_text()


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost", "venue.test"])
def test_a_client_that_trusts_it_believes_these_names(folder: Path, name: str) -> None:
    assert shaken(folder, trusted("exchange.ca_file", str(folder / authority.CA_FILE)), name)


def test_nobody_else_believes_it(folder: Path, tmp_path: Path) -> None:
    """Neither the machine's store, nor one that trusts another authority, nor for another name."""
    authority.make(tmp_path, "127.0.0.1")
    ours = trusted("exchange.ca_file", str(folder / authority.CA_FILE))
    other = trusted("exchange.ca_file", str(tmp_path / authority.CA_FILE))
    assert not shaken(folder, ssl.create_default_context(), "127.0.0.1")
    assert not shaken(folder, other, "127.0.0.1")
    assert not shaken(folder, ours, "api.ocx.global")


def test_it_is_trusted_instead_of_the_machines_store(folder: Path) -> None:
    context = trusted("exchange.ca_file", str(folder / authority.CA_FILE))
    assert context is not None
    assert context.cert_store_stats()["x509_ca"] == 1
    assert trusted("exchange.ca_file", "") is None


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_what_is_no_authority_refuses(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match="is not a file of PEM certificates"):
        trusted("exchange.ca_file", str(path))


def test_a_folder_is_gone_on_with(folder: Path) -> None:
    """A venue that restarts shows the certificate that its clients trust already."""
    before = (folder / authority.CA_FILE).read_bytes()
    authority.server_context(folder, "127.0.0.1")
    assert (folder / authority.CA_FILE).read_bytes() == before


@pytest.mark.parametrize("kind", ["missing", "failing"])
def test_without_openssl_it_is_said(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """78, and a sentence that names it and what to do."""
    if kind == "failing":
        (tmp_path / "openssl").write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
        (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    before = [signal.getsignal(number) for number in practice.STOP_SIGNALS]
    assert practice.main(["--tls", "--port", "0", "--json"]) == 78
    assert [signal.getsignal(number) for number in practice.STOP_SIGNALS] == before
    said = json.loads(capsys.readouterr().out)
    assert "openssl" in said["reason"]
    assert ("there is none" if kind == "missing" else "no such thing") in said["reason"]


def test_the_venue_serves_https_and_says_whom_to_trust(tmp_path: Path) -> None:
    """The ready line names HTTPS, WSS and the authority's file; a client that trusts it is answered; nothing stays."""
    command = [sys.executable, "-m", "maker", "venue", "--port", "0", "--tls"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE) as venue:
        try:
            assert venue.stdout is not None
            ready = json.loads(venue.stdout.readline())
            assert ready["venue_url"].startswith("https://127.0.0.1:")
            assert ready["reference_url"].startswith("wss://127.0.0.1:")
            context = ssl.create_default_context(cafile=ready["ca_file"])
            with urllib.request.urlopen(f"{ready['venue_url']}/perps/markets", context=context, timeout=10) as answer:
                assert "BTC-PERP" in answer.read().decode()
            port = int(ready["reference_url"].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
                with context.wrap_socket(raw, server_hostname="127.0.0.1") as secure:
                    assert secure.version() in ("TLSv1.2", "TLSv1.3")
        finally:
            venue.terminate()
            assert venue.wait(10) == 0
    assert list(tmp_path.iterdir()) == []


def shaken(folder: Path, client: ssl.SSLContext | None, name: str) -> bool:
    """Whether a client that calls the server by this name believes it; all in memory."""
    assert client is not None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = authority.server_context(folder, "").wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return ours.version() is not None
