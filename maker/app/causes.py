"""What an error says: errors come grouped (H5), and the first leaf that is no cancellation is the cause."""

from __future__ import annotations

from typing import Final

import trio

from maker.app.startup import START_SECONDS_MAX
from maker.desk.deadman import Reason
from maker.errors import MakerError, Unauthorized
from maker.wire.redaction import without_secrets

CREDENTIALS_FIX: Final = (
    "`keys list` shows a key's scope, addresses and expiry; "
    "for reads that want a session, [exchange] wallet_file names a wallet"
)


def first_cause(error: BaseException) -> BaseException:
    """The first leaf of a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = (error.split(trio.Cancelled)[1] or error).exceptions[0]
    return error


def reason_of(error: BaseException) -> Reason:
    """The row of the dead-man's table an error belongs to."""
    return Reason.CREDENTIALS if isinstance(first_cause(error), Unauthorized) else Reason.UNHANDLED_ERROR


def describe(error: BaseException) -> str:
    """The first cause in one line."""
    cause = first_cause(error)
    if isinstance(cause, trio.TooSlowError):
        within = f"within {START_SECONDS_MAX:.0f} s of the start"
        return f"the exchange could not be found, read and swept {within}; the log says what failed"
    if isinstance(cause, Unauthorized):
        return f"{cause}; {CREDENTIALS_FIX}"
    return str(cause) if isinstance(cause, MakerError) else without_secrets(f"{type(cause).__name__}: {cause}")
