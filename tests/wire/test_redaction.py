"""Keys and tokens are cut out of whatever was said, and nothing else is."""

from __future__ import annotations

import base64
import json

import pytest

from maker.wire import ocx
from maker.wire.redaction import KEY_REDACTED, TOKEN_REDACTED, without_secrets
from maker.wire.stream import stream_error

KEY = "ocx_sk_0123456789abcdef0123456789abcdef"
HEAD, CLAIMS = (
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "HS256"}, {"sub": "0123456789", "exp": 1})
)
TOKEN = f"{HEAD}.{CLAIMS}.c2lnbmF0dXJl-0123456789"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"no such key {KEY}", f"no such key {KEY_REDACTED}"),
        (f"'{KEY}', and (x-api-key: {KEY})", f"'{KEY_REDACTED}', and (x-api-key: {KEY_REDACTED})"),
        (KEY[:14], KEY_REDACTED),
        (f"Bearer {TOKEN}, expired", f"Bearer {TOKEN_REDACTED}, expired"),
        (f"astra_session={TOKEN[:-15]}", f"astra_session={TOKEN_REDACTED}"),
        (f"{HEAD}.{CLAIMS}", TOKEN_REDACTED),
        ("INSUFFICIENT_MARGIN: 12.5 of 30.0", "INSUFFICIENT_MARGIN: 12.5 of 30.0"),
        ("ocx_kid_01KABC of eyJust words. And more.", "ocx_kid_01KABC of eyJust words. And more."),
    ],
)
def test_what_is_cut_out(said: str, shown: str) -> None:
    """Once is enough, and twice changes nothing: a sentence passes here and again on its way to the log."""
    assert without_secrets(said) == shown
    assert without_secrets(shown) == shown


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500, 502])
@pytest.mark.parametrize("secret", [KEY, TOKEN])
def test_no_refusal_holds_what_the_exchange_echoes(status: int, secret: str) -> None:
    """S18: in its JSON, in a page of a proxy's, or where that page is cut short."""
    echoed = {"error": f"BAD_{secret}", "code": f"X-{secret}", "message": f"the key {secret} is not accepted"}
    pages = [f"<html>x-api-key: {secret}</html>", "x" * 60 + secret, f"{'x' * 4000}{secret}"]
    for body in (json.dumps(echoed), json.dumps({"error": secret}), *pages):
        error = ocx.refusal(status, body.encode(), 0.0)
        said = f"{error} {error!r} {vars(error)}"
        assert secret[:20] not in said
        assert secret[-16:] not in said


def test_no_broken_stream_says_what_the_exchange_echoes() -> None:
    """S18: `event: error` in OCX's form, and in none."""
    for data in (json.dumps({"code": "UNAUTHORIZED", "message": f"{KEY} is revoked"}), f"no: {KEY}"):
        said = stream_error(data)
        assert KEY_REDACTED in said
        assert KEY[-16:] not in said
