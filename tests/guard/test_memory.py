"""The guard stays small: what the kernel would have to take to be rid of it."""

from __future__ import annotations

import subprocess
import sys

from tests.live.support import PROJECT

OWN_BYTES_MAX = 24e6
PROGRAM = """
import ssl
from maker import __main__
from maker.guard.exchange import Exchange
exchange = Exchange("https://127.0.0.1:9", "ocx_sk_x")
exchange.look_up()
lines = open("/proc/self/smaps_rollup").read().splitlines()
print(sum(int(line.split()[1]) for line in lines if line.startswith("Private_") and "Hugetlb" not in line) * 1024)
"""


def test_the_guards_own_memory_is_small() -> None:
    """Everything it will ever load, TLS and the machine's certificates included, is below 24 MB of its own."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=PROJECT, capture_output=True, text=True, check=True)
    own = int(ended.stdout)
    assert 4e6 < own < OWN_BYTES_MAX
