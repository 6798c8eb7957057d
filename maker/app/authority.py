"""An authority of this machine's own: what the practice exchange needs to speak TLS, made by the `openssl` command.

Two files matter afterwards: the authority's certificate, which a client is told to trust instead of the machine's
store, and the server's certificate with its key. The authority's own key is deleted as soon as it has signed: nobody
can make another certificate that its clients would believe.
"""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path
from typing import Final

from maker.errors import ConfigError

CA_FILE: Final = "authority.pem"
SERVER_FILE: Final = "server.pem"  # certificate and key, mode 0600
CA_KEY_FILE: Final = "authority.key"
DAYS: Final = 397  # the longest that every client believes
OPENSSL_SECONDS_MAX: Final = 20.0  # one command; 10 ms on an idle machine
CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
# All that openssl is to know, so that the machine's own configuration does not matter.
SETTINGS: Final = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1, IP:::1, DNS:localhost{more}
"""


def make(folder: Path, host: str) -> None:
    """Make authority and server certificate for this machine and `host` in a folder. Raises ConfigError."""
    numeric = host.replace(".", "").isdigit() or ":" in host
    more = "" if host in ("127.0.0.1", "::1", "localhost") else f", {'IP' if numeric else 'DNS'}:{host}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("authority", "server"):
        text = SETTINGS.format(name="maker practice authority" if name == "authority" else "localhost", more=more)
        (folder / f"{name}.cnf").write_text(text)
    signed = ("-CA", CA_FILE, "-CAkey", CA_KEY_FILE, "-set_serial", "2", "-extfile", "server.cnf")
    days = ("-days", str(DAYS))
    authority = ("-keyout", CA_KEY_FILE, "-out", CA_FILE, "-config", "authority.cnf", "-extensions", "authority")
    openssl(folder, "req", "-x509", *CURVE, *days, *authority)
    openssl(folder, "req", "-new", *CURVE, "-keyout", "server.key", "-out", "server.csr", "-config", "server.cnf")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-out", "server.crt", *days, *signed, "-extensions", "server")
    key, certificate = folder / "server.key", folder / "server.crt"
    with os.fdopen(os.open(folder / SERVER_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(certificate.read_bytes() + key.read_bytes())
    for name in (CA_KEY_FILE, "server.key", "server.csr", "server.crt", "authority.cnf", "server.cnf"):
        (folder / name).unlink()


def openssl(folder: Path, *words: str) -> None:
    """Run one openssl command in a folder. Raises ConfigError."""
    fix = "Install it (Debian: apt-get install openssl), or do without --tls."
    before = os.umask(0o077)
    try:
        ended = subprocess.run(
            ["openssl", *words],  # noqa: S607 - whichever the user has
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=OPENSSL_SECONDS_MAX,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError("--tls", "needs the command openssl, and there is none.", fix) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError("--tls", f"cannot run openssl: {error}.", fix) from error
    finally:
        os.umask(before)
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise ConfigError("--tls", f"openssl {words[0]} failed: {said[-1]}.", fix)


def server_context(folder: Path, host: str) -> ssl.SSLContext:
    """Return what a server shows, made first where the folder holds none. Raises ConfigError."""
    if not (folder / SERVER_FILE).exists() or not (folder / CA_FILE).exists():
        make(folder, host)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(folder / SERVER_FILE)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("--tls-folder", f"holds no certificate to show: {error}.", "Give an empty folder.") from error
    return context
