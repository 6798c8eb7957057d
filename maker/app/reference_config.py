"""The [reference.NAME] tables: whom each market asks what a price is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import attrs

from maker.app.addresses import trusted, url_scheme
from maker.app.values import build, known, positive, require, table
from maker.wire.references import venues
from maker.wire.references.described import PATHS, Described

OPTIONAL_PATHS: Final = ("error", "stated_at")  # of `Described`; empty: there is none


@attrs.frozen
class Reference:
    """One reference venue's feed."""

    silent_seconds_max: float  # no message of any kind for so long: connect anew
    url: str = ""  # empty: the venue's public one
    ca_file: str = ""  # path of PEM certificates to trust instead of the machine's store
    venue: str = venues.PRACTICE  # one of VENUES: whose messages it speaks
    described: Described | None = None  # how, for the venue "json"


def reference(tree: Mapping[str, Any], name: str, reference_url: str) -> Reference:
    """One [reference.NAME] table; `reference_url` is the practice exchange's, whose venues are told by their path.

    With that address the feed is the practice exchange's own, whatever venue is written. Raises ConfigError.
    """
    path = f"reference.{name}"
    given = table(tree["reference"], name, "reference")
    known(given, [field.name for field in attrs.fields(Reference)], path)
    words = {"described": described(given, path)} if "described" in given else {}
    found = build(Reference, {**given, **words}, path)
    positive(found, path)
    spoken = f"One of {', '.join(venues.VENUES)}."
    require(found.venue in venues.VENUES, f"{path}.venue", f"is {found.venue!r}, which is not known.", spoken)
    needed = found.venue == venues.JSON
    require(
        needed == (found.described is not None),
        f"{path}.described",
        "is missing." if needed else f"is not read for the venue {found.venue!r}.",
        f'It goes with venue = "{venues.JSON}"; conf/paper.toml explains it.',
    )
    speaks = venues.adapter(found.venue, name, (), found.described)
    require(
        speaks.ping is None or found.silent_seconds_max > speaks.ping_seconds,
        f"{path}.silent_seconds_max",
        f"must be above {speaks.ping_seconds:g}: a quiet venue is asked for a sign of life so often.",
        "Try 5.",
    )
    if reference_url:
        return attrs.evolve(found, url=practice_url(reference_url, name), venue=venues.PRACTICE, described=None)
    found = attrs.evolve(found, url=found.url or venues.default_url(found.venue))
    if tree.get("mode") == "live":
        url_scheme(f"{path}.url", found.url, ("wss", "ws"))
    trusted(f"{path}.ca_file", found.ca_file)
    return found


def described(given: Mapping[str, Any], path: str) -> Described:
    """The table that describes a JSON feed. Raises ConfigError."""
    words = table(given, "described", path)
    known(words, [field.name for field in attrs.fields(Described)], f"{path}.described")
    found = build(Described, words, f"{path}.described")
    for name in (*PATHS, *(name for name in OPTIONAL_PATHS if getattr(found, name))):
        refuse_no_path(f"{path}.described.{name}", getattr(found, name))
    place, equals, _ = found.alive.partition("=")
    if equals and not found.alive.startswith(("{", "[")):  # a whole message may well have a "=" within
        refuse_no_path(f"{path}.described.alive", place)
    return found


def refuse_no_path(field: str, place: str) -> None:
    """Refuse a path with nothing before, after or between its dots. Raises ConfigError."""
    fix = 'Write keys with dots between, for example "data.bids.0.1".'
    require(all(place.split(".")), field, f"has {place!r}, which is no path.", fix)


def practice_url(reference_url: str, name: str) -> str:
    """Where the practice exchange serves the reference venue of a name: any name, configured there or not."""
    return f"{reference_url.rstrip('/')}/{quote(name, safe='')}"
