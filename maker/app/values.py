"""TOML values -> the types a room's parameters want; never a silent rounding, never an unknown key.

Every error is a ConfigError that names the field and says what to write instead.
"""

from __future__ import annotations

import difflib
import enum
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import attrs

from maker.errors import ConfigError

NUMBER_MAX: Final = 10**9  # no count or time of a configuration is as large
DECIMAL_MAX: Final = 10**15  # ... and no size or value, though cheap tokens are held by the thousand millions

T = TypeVar("T")


def section(room: type[T], tree: Mapping[str, Any], name: str) -> T:
    """Build an attrs class from the table of this name."""
    given = table(tree, name, "")
    known(given, [field.name for field in attrs.fields(room)], name)  # type: ignore[arg-type]
    return build(room, given, name)


def build(room: type[T], given: Mapping[str, Any], path: str) -> T:
    """Convert each value to its field's type; a field without default must be given."""
    hints = typing.get_type_hints(room)
    values: dict[str, Any] = {}
    for field in attrs.fields(room):  # type: ignore[arg-type]
        key, where = field.alias, f"{path}.{field.alias}"
        if key in given and converts(hints.get(field.name)):
            values[key] = convert(given[key], hints[field.name], where)
        elif key in given:
            values[key] = given[key]  # tables within, built before
        elif field.init and field.default is attrs.NOTHING:
            raise ConfigError(where, "is missing.", "Add it; conf/paper.toml explains every key.")
    return room(**values)


def converts(wanted: Any) -> bool:
    """Whether `convert` knows this type; what wants another gets its value as it is."""
    return wanted in (Decimal, float, int, bool, str) or (isinstance(wanted, type) and issubclass(wanted, enum.Enum))


def convert(value: Any, wanted: Any, where: str) -> Any:
    """One TOML value as the type a field wants; never a silent rounding."""
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        choices = [member.value for member in wanted]
        if value not in choices:
            raise ConfigError(where, f"is {value!r}.", f"One of {', '.join(map(repr, choices))}.")
        return wanted(value)
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    converters: dict[Any, tuple[bool, Callable[[Any], Any], str]] = {
        Decimal: (number, Decimal, "a number"),
        float: (number, float, "a number of seconds or a ratio"),
        int: (isinstance(value, int) and not isinstance(value, bool), int, "a whole number"),
        bool: (isinstance(value, bool), bool, "true or false"),
        str: (isinstance(value, str), str, "a text in quotes"),
    }
    fits, make, name = converters[wanted]
    said = str(value)[:40]
    if not fits or (number and not Decimal(value).is_finite()):
        raise ConfigError(where, f"is {said}." if said.strip() else "is empty.", f"Write {name}.")
    most = DECIMAL_MAX if wanted is Decimal else NUMBER_MAX
    if number and not -most < value < most:
        raise ConfigError(where, f"is {said}.", f"Write {name} {'below ' if value > 0 else 'above -'}{most:,}.")
    return make(value)


def table(tree: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    """A sub-table; missing is an error."""
    where = f"{path}.{name}" if path else name
    found = tree.get(name)
    if not isinstance(found, dict):
        raise ConfigError(where, "is missing.", f"Add a [{where}] table; conf/paper.toml explains every key.")
    return types.MappingProxyType(found)


def text(tree: Mapping[str, Any], name: str, path: str) -> str:
    """A text that must be there and not empty."""
    found = tree.get(name)
    where = f"{path}.{name}" if path else name
    if not isinstance(found, str) or not found:
        raise ConfigError(where, "is missing or empty.", "Write a text in quotes; conf/paper.toml explains every key.")
    return found


def known(given: Mapping[str, Any], names: list[str], path: str) -> None:
    """Refuse a key nobody reads, with the nearest one that exists."""
    for key in given:
        if key not in names:
            fix = nearest(key, names, f"Known here: {', '.join(sorted(names))}.")
            raise ConfigError(f"{path}.{key}" if path else key, "is not a known key.", fix)


def nearest(word: str, names: Iterable[str], otherwise: str, likeness_min: float = 0.6) -> str:
    """Suggest the name that was meant; `otherwise`: there is none like it."""
    near = difflib.get_close_matches(word, list(names), n=1, cutoff=likeness_min)
    return f"Did you mean {near[0]}?" if near else otherwise


def spelled(key: str) -> str:
    """One key as TOML has it: in quotes what is no bare one."""
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def positive(instance: Any, path: str) -> None:
    """All numbers of an attrs instance must be above 0."""
    for field in attrs.fields(type(instance)):
        value = getattr(instance, field.name)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            require(value > 0, f"{path}.{field.name}", "must be above 0.", "")


def require(holds: bool, field: str, problem: str, fix: str) -> None:
    if not holds:
        raise ConfigError(field, problem, fix)


def shared(given: Mapping[str, Any], path: str, *rooms: type[Any]) -> dict[type[Any], dict[str, Any]]:
    """One table, its keys shared out among the rooms that want them. Raises ConfigError for one that nobody wants."""
    owners: dict[str, list[type[Any]]] = {}
    for room in rooms:
        for field in attrs.fields(room):
            owners.setdefault(field.name, []).append(room)
    known(given, list(owners), path)
    parts: dict[type[Any], dict[str, Any]] = {room: {} for room in rooms}
    for field_name, value in given.items():
        for room in owners[field_name]:  # one key that two rooms want: they cannot differ
            parts[room][field_name] = value
    return parts
