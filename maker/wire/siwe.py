"""Sign-In with Ethereum: the text that a wallet signs (EIP-4361), out and in.

    text = SignIn(domain="service.org", address="0xC02a…", uri="https://service.org/login", chain_id=1,
                  nonce="32891757", issued_at="2021-09-30T16:25:24Z").text()
    parse(text).nonce

The grammar is the ABNF of EIP-4361 with RFC 3986 for domain and URIs and RFC 3339 for times, byte by byte: `parse`
takes nothing else, and what it takes `text` gives back unchanged. Lines are separated by LF alone and the last one has
none. A capitalised address (EIP-55) needs Keccak-256 and is the business of whoever checks the signature: here an
address is 40 hexadecimal digits. A leap second (:60), which RFC 3339 allows, is refused: nobody issues one.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import attrs

VERSION: Final = "1"
NONCE_LENGTH_MIN: Final = 8  # of EIP-4361
TEXT_CHARACTERS_MAX: Final = 16_384  # a message has 300; what is longer is no question that a person is asked

UNRESERVED: Final = r"A-Za-z0-9\-._~"
SUB_DELIMS: Final = r"!$&'()*+,;="
PERCENT: Final = r"%[0-9A-Fa-f]{2}"
PCHAR: Final = rf"(?:[{UNRESERVED}{SUB_DELIMS}:@]|{PERCENT})"
HOST: Final = rf"(?:\[[0-9A-Fa-fv.:{UNRESERVED}{SUB_DELIMS}]+\]|(?:[{UNRESERVED}{SUB_DELIMS}]|{PERCENT})*)"
AUTHORITY: Final = rf"(?:(?:[{UNRESERVED}{SUB_DELIMS}:]|{PERCENT})*@)?{HOST}(?::[0-9]*)?"
SCHEME: Final = r"[A-Za-z][A-Za-z0-9+\-.]*"
URI: Final = re.compile(
    rf"{SCHEME}:(?://{AUTHORITY}(?:/{PCHAR}*)*|/(?:{PCHAR}+(?:/{PCHAR}*)*)?|{PCHAR}+(?:/{PCHAR}*)*|)"
    rf"(?:\?(?:{PCHAR}|[/?])*)?(?:#(?:{PCHAR}|[/?])*)?"
)
DOMAIN: Final = re.compile(AUTHORITY)
SCHEME_ONLY: Final = re.compile(SCHEME)
ADDRESS: Final = re.compile(r"0x[0-9A-Fa-f]{40}")
STATEMENT: Final = re.compile(rf"[{UNRESERVED}{SUB_DELIMS}:/?#\[\]@ ]+")  # reserved / unreserved / " "
CHAIN_ID: Final = re.compile(r"[0-9]{1,30}")
NONCE: Final = re.compile(rf"[A-Za-z0-9]{{{NONCE_LENGTH_MIN},}}")
DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
REQUEST_ID: Final = re.compile(rf"{PCHAR}*")

WANTS: Final = " wants you to sign in with your Ethereum account:"


@attrs.frozen(kw_only=True)
class SignIn:
    """One message. Times are texts, so that what was signed is what is read; `moment_ms` reads them.

    Raises ValueError, naming the field, for what EIP-4361 does not allow.
    """

    domain: str  # RFC 3986 authority that asks for the signature
    address: str  # of the wallet, 0x and 40 hexadecimal digits
    uri: str  # what the signature is for
    chain_id: int  # EIP-155
    nonce: str
    issued_at: str
    scheme: str | None = None  # of the origin, before the domain
    statement: str | None = None  # what the person is told, one line of ASCII
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None  # URIs; empty and absent are two different texts

    def __attrs_post_init__(self) -> None:
        check("scheme", self.scheme, SCHEME_ONLY)
        check("domain", self.domain, DOMAIN)
        check_host("domain", f"//{self.domain}")
        if not self.domain:
            raise ValueError("domain: is missing")
        check("address", self.address, ADDRESS)
        check("statement", self.statement, STATEMENT)
        check("uri", self.uri, URI)
        check_host("uri", self.uri)
        check("chain_id", str(self.chain_id), CHAIN_ID)
        check("nonce", self.nonce, NONCE)
        check("request_id", self.request_id, REQUEST_ID)
        for name in ("issued_at", "expiration_time", "not_before"):
            moment = getattr(self, name)
            if moment is not None:
                moment_ms(moment, name)
        for resource in self.resources or ():
            check("resources", resource, URI)
            check_host("resources", resource)

    def text(self) -> str:
        """Return the text to sign."""
        origin = self.domain if self.scheme is None else f"{self.scheme}://{self.domain}"
        lines = [origin + WANTS, self.address, ""]
        lines += [self.statement] if self.statement is not None else []
        lines += ["", f"URI: {self.uri}", f"Version: {VERSION}", f"Chain ID: {self.chain_id}", f"Nonce: {self.nonce}"]
        lines += [f"Issued At: {self.issued_at}"]
        for label, value in (
            ("Expiration Time", self.expiration_time),
            ("Not Before", self.not_before),
            ("Request ID", self.request_id),
        ):
            lines += [f"{label}: {value}"] if value is not None else []
        if self.resources is not None:
            lines += ["Resources:", *(f"- {resource}" for resource in self.resources)]
        return "\n".join(lines)


def check(name: str, value: str | None, pattern: re.Pattern[str]) -> None:
    """Raise ValueError unless an optional field is absent or fits. The value is not shown: it came from anywhere."""
    if value is not None and pattern.fullmatch(value) is None:
        raise ValueError(f"{name}: is not as EIP-4361 has it")


def check_host(name: str, uri: str) -> None:
    """Raise ValueError for a literal address in brackets that is none, or a port beyond 65535."""
    try:
        _ = urlsplit(uri).port
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None


def moment_ms(moment: str, name: str = "time") -> int:
    """Return the unix milliseconds of an RFC 3339 time. Raises ValueError, also for a day that is none."""
    if DATE_TIME.fullmatch(moment) is None:
        raise ValueError(f"{name}: is no RFC 3339 time")
    try:
        return round(datetime.fromisoformat(moment.upper()).timestamp() * 1000)
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"{name}: {problem}") from None


class Lines:
    """The lines of a message, taken one by one."""

    def __init__(self, text: str) -> None:
        self.left = text.split("\n")

    def next(self, what: str) -> str:
        """Take the next line. Raises ValueError at the end."""
        if not self.left:
            raise ValueError(f"{what}: is missing")
        return self.left.pop(0)

    def empty(self, where: str) -> None:
        """Take an empty line. Raises ValueError for any other."""
        if self.next(where):
            raise ValueError(f"{where}: an empty line is missing")

    def labelled(self, label: str) -> str:
        """Take `label: value` and return the value. Raises ValueError for another line."""
        value = self.optional(label)
        if value is None:
            raise ValueError(f"{label}: is missing or out of order")
        return value

    def optional(self, label: str) -> str | None:
        """Take `label: value` if it is the next line."""
        if not self.left or not self.left[0].startswith(f"{label}: "):
            return None
        return self.left.pop(0)[len(label) + 2 :]


def parse(text: str) -> SignIn:
    """Read a message. Raises ValueError, naming the field, for anything that is not exactly one."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"message: is longer than {TEXT_CHARACTERS_MAX} characters")
    lines = Lines(text)
    first = lines.next("domain")
    if not first.endswith(WANTS):
        raise ValueError("domain: the first line does not ask to sign in")
    scheme, separator, domain = first.removesuffix(WANTS).rpartition("://")
    address = lines.next("address")
    lines.empty("statement")
    statement = lines.next("statement") or None
    if statement is not None:
        lines.empty("statement")
    uri = lines.labelled("URI")
    if lines.labelled("Version") != VERSION:
        raise ValueError(f"Version: must be {VERSION}")
    chain_id = lines.labelled("Chain ID")
    check("Chain ID", chain_id, CHAIN_ID)
    message = SignIn(
        scheme=scheme if separator else None,
        domain=domain,
        address=address,
        statement=statement,
        uri=uri,
        chain_id=int(chain_id),
        nonce=lines.labelled("Nonce"),
        issued_at=lines.labelled("Issued At"),
        expiration_time=lines.optional("Expiration Time"),
        not_before=lines.optional("Not Before"),
        request_id=lines.optional("Request ID"),
        resources=resources(lines),
    )
    if lines.left:
        raise ValueError("message: has a line too many, or one out of order")
    if message.text() != text:  # a chain id with zeros before it: what is read must be what was signed
        raise ValueError("message: is not spelled as EIP-4361 has it")
    return message


def resources(lines: Lines) -> tuple[str, ...] | None:
    """Take the list at the end, None where there is none. Raises ValueError for a line that is no item."""
    if not lines.left or lines.left[0] != "Resources:":
        return None
    lines.left.pop(0)
    found = []
    while lines.left:
        line = lines.left.pop(0)
        if not line.startswith("- "):
            raise ValueError("Resources: an item begins with '- '")
        found.append(line[2:])
    return tuple(found)
