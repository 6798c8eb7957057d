"""Where a running maker finds its configuration and its key again: the very bytes that were parsed are those hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import attrs
import trio

from maker.app.config import Config, check, content_of, own_key, parsed
from maker.launch import key


@attrs.frozen
class Reading:
    """One configuration, as it stands and as it was understood."""

    tree: Mapping[str, Any] = attrs.field(repr=False)  # numbers with a fraction are Decimals
    config: Config = attrs.field(repr=False)
    sha256: str  # of the file's bytes


class Source(Protocol):
    """What a reload reads. Neither call may hold the loop."""

    async def read(self) -> Reading:
        """Read the configuration and check all of it. Raises ConfigError."""

    async def key(self, config: Config) -> key.Key:
        """Read the API key from where a configuration says it is kept. Raises ConfigError, never showing it."""


@attrs.frozen
class Files:
    """The real ones. Files are read, and a model of the user's own is tried, in a thread: a disk may hang."""

    path: Path
    venue_url: str = ""  # of a practice exchange that was started for us
    reference_url: str = ""

    async def read(self) -> Reading:
        return await trio.to_thread.run_sync(self.now, abandon_on_cancel=True)

    async def key(self, config: Config) -> key.Key:
        return await trio.to_thread.run_sync(partial(own_key, config, os.environ), abandon_on_cancel=True)

    def now(self) -> Reading:
        """Read and check, here and now. Raises ConfigError."""
        content = content_of(self.path)
        tree = parsed(content, self.path)
        config = check(tree, self.venue_url, self.reference_url, self.path.parent)
        return Reading(tree, config, hashlib.sha256(content).hexdigest())
