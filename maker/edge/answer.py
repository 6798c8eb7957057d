"""One HTTP answer: what it is, and how the order path reads it off a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import attrs
import h11

from maker.errors import OutcomeUnknown

BODY_BYTES_MAX: Final = 4 * 1024 * 1024  # a full account read is some hundred KB; more is a fault, not data
HEAD_BYTES_MAX: Final = 64 * 1024  # of an answer; h11 holds at most one read more than this
INFORMATIONAL_MAX: Final = 8  # 1xx answers before the real one; we ask for none, a proxy sends one or two
LENGTH_FIELDS: Final = frozenset({"content-length", "transfer-encoding"})
BODILESS: Final = frozenset({204, 304})  # end with their head (RFC 9112 6.3)

# h11 must know that a request went out before it reads an answer. Ours are written as bytes, in one go; which one does
# not matter to the framing of the answer, so every parser is shown this one.
ANY_REQUEST: Final = h11.Request(method=b"POST", target=b"/", headers=[(b"host", b"lane"), (b"content-length", b"0")])


@attrs.frozen
class Answer:
    """A complete answer of any status. Its text may hold secrets (a minted key, a cookie), so its repr shows none."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)  # names lowercased; repeated fields joined with ", "
    body: bytes = attrs.field(repr=lambda body: f"<{len(body)} bytes>")


def joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Make one dictionary of raw header fields: names lowercased, repeats joined with ", " (RFC 9110 5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def read_answer(receive_some: Callable[[], Awaitable[bytes]]) -> tuple[Answer, bool]:
    """Read one answer; return it and whether the connection may carry another request.

    Raises `OutcomeUnknown` for one that is cut short, too large, or without a stated length (which cannot be told from
    one cut short) or is not HTTP/1.1, and what `receive_some` raises.
    """
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    parser.send(ANY_REQUEST)
    parser.send(h11.EndOfMessage())
    status = 0
    headers: dict[str, str] = {}
    body = bytearray()
    informational = 0
    while True:
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError:
            # h11 quotes the bytes it disliked, and they may echo ours: none of them goes into an error
            raise OutcomeUnknown("the answer is not HTTP/1.1") from None
        if event is h11.NEED_DATA:
            received = await receive_some()
            if not received:
                raise OutcomeUnknown("the connection ended before the answer was whole")
            parser.receive_data(received)
        elif isinstance(event, h11.Data):
            if len(body) + len(event.data) > BODY_BYTES_MAX:
                raise OutcomeUnknown(f"answer {status} with a body over {BODY_BYTES_MAX} bytes")
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.Response):
            status, headers = event.status_code, joined(event.headers)
            if status not in BODILESS and not LENGTH_FIELDS & headers.keys():
                raise OutcomeUnknown(f"answer {status} does not state its length")
        elif isinstance(event, h11.InformationalResponse):
            informational += 1
            if informational > INFORMATIONAL_MAX:
                raise OutcomeUnknown(f"more than {INFORMATIONAL_MAX} informational answers")
        else:
            raise OutcomeUnknown("the connection was switched to something else")
    reusable = parser.our_state is h11.DONE and parser.their_state is h11.DONE and not parser.trailing_data[0]
    return Answer(status, headers, bytes(body)), reusable
