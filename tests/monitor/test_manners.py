"""Names, origins, methods, headers: what a stranger's page may not do, and what a tunnel and a proxy may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maker.edge.http_messages import EventStreamResponse, Response
from maker.monitor import manners
from tests.monitor.observed import asked

KNOWN = manners.names("127.0.0.1", "bot.example")
READ = frozenset({"GET", "HEAD"})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8790",
        "127.0.0.1",
        "localhost:9000",
        "LOCALHOST",
        "[::1]:8790",
        "[::1]",
        "bot.example",
        "Bot.Example:443",
    ],
)
def test_our_names_are_answered(host: str) -> None:
    assert manners.is_ours(host, KNOWN)
    assert manners.refusal(asked("/", host=host), KNOWN, READ) is None


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8790", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1:evil",
     "localhost:", "evil.example:80@localhost", "[::1", "::1", "0.0.0.0:8790", "127.0.0.2", "localhost, evil.example"],
)  # fmt: skip
def test_other_names_are_not(host: str) -> None:
    """DNS rebinding: a stranger's name that leads to this machine is no name of ours."""
    assert not manners.is_ours(host, KNOWN)
    refused = manners.refusal(asked("/", host=host), KNOWN, READ)
    assert refused is not None
    assert refused.status == 421


@given(st.text(max_size=30))
def test_any_host_is_judged(host: str) -> None:
    assert manners.is_ours(host, KNOWN) in (True, False)


@pytest.mark.parametrize(("origin", "status"), [
    ("http://localhost:8790", None), ("http://127.0.0.1:8790", None), ("https://bot.example", None),
    ("http://evil.example", 403), ("null", 403), ("", 403), ("http://localhost.evil.example", 403),
])  # fmt: skip
def test_a_page_of_another_origin_gets_nothing(origin: str, status: int | None) -> None:
    refused = manners.refusal(asked("/kill", "POST", origin=origin), KNOWN, frozenset({"POST"}))
    assert (None if refused is None else refused.status) == status


def test_paths_and_methods() -> None:
    missing = manners.refusal(asked("/nothing"), KNOWN, frozenset())
    assert missing is not None
    assert missing.status == 404
    wrong = manners.refusal(asked("/", "DELETE"), KNOWN, READ)
    assert wrong is not None
    assert wrong.status == 405
    assert ("Allow", "GET, HEAD") in wrong.headers


def test_an_address_of_the_network_is_a_name_of_ours_too() -> None:
    assert manners.is_ours("192.0.2.7:80", manners.names("192.0.2.7", ""))
    assert manners.is_ours("[2001:db8::7]:80", manners.names("2001:db8::7", ""))
    assert "" not in manners.names("127.0.0.1", "")
    assert manners.url("127.0.0.1", 80) == "http://127.0.0.1:80/"
    assert manners.url("::1", 80) == "http://[::1]:80/"


def test_every_answer_has_the_headers() -> None:
    """A policy that allows only our own files, no sniffing, no frames, no CORS, nothing kept unless it says so."""
    fields = dict(manners.mannered(Response(200)).headers)
    policy = dict(part.strip().split(" ", 1) for part in fields["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert {value for name, value in policy.items() if name != "default-src"} == {"'none'"}
    assert "unsafe" not in fields["Content-Security-Policy"]
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Cache-Control"] == "no-store"
    assert not [name for name in fields if name.lower().startswith("access-control")]
    kept = manners.mannered(Response(200, (("Cache-Control", "no-cache"),))).headers
    assert [value for name, value in kept if name == "Cache-Control"] == ["no-cache"]

    async def run(_send: object) -> None: ...

    streamed = manners.mannered(EventStreamResponse(run)).headers
    assert "Content-Security-Policy" in dict(streamed)
    assert "Cache-Control" not in dict(streamed), "the server says that itself"
    assert dict(manners.refused(400, "no").headers).keys() >= dict(manners.SECURITY).keys()


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "86401", "9" * 30, "٣", " 5", "5 ", "abc"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="seconds must be a whole number from 1 to 86400"):
        manners.number({"seconds": text}, "seconds", 900, 86_400)


def test_numbers() -> None:
    assert manners.number({}, "seconds", 900, 86_400) == 900
    assert manners.number({"seconds": "86400"}, "seconds", 900, 86_400) == 86_400
