"""Secrets cut out of what is shown, whoever said it: a server may echo the credential that it refuses.

What others say goes into errors, and from there into the journal, a run's last word, incident files, the page and
alerts. So it passes here where it comes in. Only what can be told by its looks is found: API keys, which have a prefix
of their own, and sessions' tokens, which are JWTs.
"""

from __future__ import annotations

import re
from typing import Final

KEY: Final = re.compile(r"ocx_sk_(?!\[redacted\])[^\"'\s,;\\)}\]]*")
KEY_REDACTED: Final = "ocx_sk_[redacted]"
TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,2}")  # a JWT begins with `{"` in base64
TOKEN_REDACTED: Final = "eyJ[redacted]"  # noqa: S105 - what stands where a token was


def without_secrets(text: str) -> str:
    """Return a text without API keys and tokens, also those that are cut short. Cut a text to length AFTERWARDS."""
    if "ocx_sk_" in text:
        text = KEY.sub(KEY_REDACTED, text)
    if "eyJ" in text:
        text = TOKEN.sub(TOKEN_REDACTED, text)
    return text
