"""A user's own spread model: one class with one method, in a Python file beside the configuration.

    class Wide:
        def __init__(self, bps: float) -> None:
            self.bps = bps

        def spread(self, situation):
            half = situation.fair * self.bps / 10_000
            return Spread(situation.fair, half, half)

The configuration says `model = "wide.py:Wide"`; the keys of its table are the class's parameters, as keyword arguments
or, in an attrs class, as fields with types. It quotes at the edges of what it may be shown before anything is placed
(`model_trial`): what would fail while quoting should fail here, with a sentence. Its code runs with all that this
program may do: it is trusted as the configuration is. While quoting, an exception of it is as unexpected as any other:
quotes are pulled and the run ends.

A worker process of `compare` or `simulate`, which knows no such module, is given where the class is and its parameters:
it makes the model again, as here.
"""

from __future__ import annotations

import copyreg
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import attrs

from maker.app.model_trial import DEAR, Unfit, told, trial
from maker.app.values import build, converts, known
from maker.desk.spread import SpreadModel
from maker.errors import ConfigError

FORM: Final = 'Write it as "file.py:Class", the file beside the configuration; for `price`, in the current directory.'
METHOD_FIX: Final = "Give it `def spread(self, situation: Situation) -> Spread`, see maker/desk/spread.py."
MEND: Final = "Mend it: floats in a maker.desk.spread.Spread, whatever is held, and horizon_seconds, if any, above 0."


def make(name: str, given: Mapping[str, Any], folder: Path, named_at: str, table: str) -> SpreadModel:
    """Load, build and try the model `name`; `named_at` and `table` are keys, for errors. Raises ConfigError."""
    model_class = load(name, folder, named_at)
    try:
        model = construct(model_class, given, table)
    except ConfigError:
        raise
    except ValueError as wrong:
        raise config_error(wrong, table) from wrong
    except (Exception, SystemExit) as error:
        raise ConfigError(table, f"{name} cannot be made: {told(error)}.", "Mend its __init__.") from error
    try:
        trial(model, (DEAR,))
    except Unfit as unfit:
        raise ConfigError(named_at, f"{name} {unfit}.", MEND) from unfit
    copyreg.pickle(model_class, partial(made_again, name, given, folder.resolve(), named_at, table))
    return model


def load(name: str, folder: Path, named_at: str) -> type[Any]:
    """Import the file and return the class, which must have the method. Raises ConfigError."""
    file_name, _, class_name = name.rpartition(":")
    path = (folder / file_name).resolve()
    if not file_name.endswith(".py") or not class_name.isidentifier():
        raise ConfigError(named_at, f"{name!r} names no class in a Python file.", FORM)
    if not path.is_file():
        raise ConfigError(named_at, f"there is no file {path}.", FORM)
    found = getattr(imported(path, named_at), class_name, None)
    if not inspect.isclass(found):
        raise ConfigError(named_at, f"{path} has no class {class_name}.", FORM)
    if not callable(getattr(found, "spread", None)):
        raise ConfigError(named_at, f"{class_name} of {path} has no method `spread`.", METHOD_FIX)
    return found


def imported(path: Path, named_at: str) -> ModuleType:
    """Run the file as a module. Raises ConfigError."""
    module_name = f"own_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None, "it ends in .py"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where the types of its fields are looked up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script is not a model: sys.exit() at its end must not end us
        del sys.modules[module_name]
        raise ConfigError(named_at, f"{path} cannot be imported: {told(error)}.", "Mend it.") from error
    return module


def made_again(
    name: str, given: Mapping[str, Any], folder: Path, named_at: str, table: str, _model: SpreadModel
) -> tuple[Callable[..., SpreadModel], tuple[Any, ...]]:
    """Say how a model made from these words is made in another process: from the same words."""
    return make, (name, dict(given), folder, named_at, table)


def parameters(model_class: type[Any]) -> list[str]:
    """Name what a class is made with."""
    if attrs.has(model_class):
        return [field.alias for field in attrs.fields(model_class) if field.init]
    return list(inspect.signature(model_class).parameters)


def construct(model_class: type[Any], given: Mapping[str, Any], table: str) -> SpreadModel:
    """Call the class with its parameters; an attrs class gets them as the types of its fields."""
    if attrs.has(model_class):
        known(given, parameters(model_class), table)
        hints = typing.get_type_hints(model_class)
        exact = {field.alias for field in attrs.fields(model_class) if converts(hints.get(field.name))}
        values = {key: value if key in exact else plain(value) for key, value in given.items()}
        return typing.cast("SpreadModel", build(model_class, values, table))
    wanted = inspect.signature(model_class).parameters
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in wanted.values()):
        known(given, parameters(model_class), table)
    for one in wanted.values():
        by_name = one.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        if by_name and one.default is inspect.Parameter.empty and one.name not in given:
            raise ConfigError(f"{table}.{one.name}", "is missing.", f"{model_class.__name__} asks for it.")
    return typing.cast("SpreadModel", model_class(**plain(given)))


def plain(value: Any) -> Any:
    """What TOML holds, as whoever reads it plainly gets it: floats, at any depth, instead of exact decimals."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return float(value) if isinstance(value, Decimal) else value


def config_error(wrong: ValueError, table: str) -> ConfigError:
    """Read `field: problem. fix` as models write it; anything else is a problem of the whole table."""
    field, colon, rest = str(wrong).partition(": ")
    if not colon or not field.isidentifier():
        return ConfigError(table, f"is refused by the model: {wrong}", "Mend it.")
    problem, stop, fix = rest.partition(". ")
    return ConfigError(f"{table}.{field}", problem + stop.strip(), fix)
