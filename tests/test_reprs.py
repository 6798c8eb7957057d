"""S18: no class of ours shows a credential in its `repr`: whoever logs a value, or fails over one, shows none."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import attrs
import msgspec

import maker

CREDENTIALS = re.compile(r"(^|_)(secret|secrets|token|headers|signature|cookie|password|key_secret)$")


def classes() -> Iterator[type]:
    """Yield every class of the program, once."""
    seen: set[type] = set()
    for module in pkgutil.walk_packages(maker.__path__, "maker."):
        if module.name == "maker.__main__" or module.ispkg:
            continue
        for found in vars(importlib.import_module(module.name)).values():
            if isinstance(found, type) and found.__module__.startswith("maker.") and found not in seen:
                seen.add(found)
                yield found


def shown(found: type) -> list[str]:
    """The fields that a class's own repr, as attrs or msgspec makes it, shows with their values."""
    if attrs.has(found):
        made = "attrs generated" in getattr(getattr(found.__repr__, "__code__", None), "co_filename", "")
        return [field.name for field in attrs.fields(found) if made and field.repr is True]
    if issubclass(found, msgspec.Struct) and found.__repr__ is msgspec.Struct.__repr__:
        return list(found.__struct_fields__)
    return []


def test_no_class_shows_a_credential() -> None:
    fields = [f"{one.__module__}.{one.__name__}.{name}" for one in classes() for name in shown(one)]
    assert len(fields) > 1000, "the classes were found"
    assert [name for name in fields if CREDENTIALS.search(name.rpartition(".")[2])] == []
