"""The house stands as drawn: imports only go down, the pure floors are pure, nurseries open where they may."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "maker"
ROOMS = sorted(path.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py"))

# Which floors each floor may import, besides itself. `paper` knows no arithmetic of the desk: no slip passes twice.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "guard": set(),
    "launch": {"guard"},
    "watcher": {"guard", "launch"},
    "desk": {"errors"},
    "wire": {"errors", "desk"},
    "edge": {"errors", "desk", "wire"},
    "paper": {"errors", "wire", "edge"},
    "app": {"errors", "desk", "wire", "edge", "paper", "guard", "launch", "watcher"},
    "drills": {"errors", "desk", "wire", "edge", "paper", "app", "guard", "launch"},
    "storms": {"errors", "desk", "wire", "edge", "paper", "app", "guard", "launch", "drills"},
    "compare": {"errors", "desk", "wire", "edge", "paper", "app", "guard", "launch", "storms"},
    "report": {"errors", "desk", "edge", "launch"},
    "preflight": {"errors", "desk", "wire", "edge", "app", "guard", "launch"},
    "monitor": {"errors", "desk", "wire", "edge", "app", "guard", "launch", "report"},
    "__main__": {"guard", "launch", "watcher", "app", "drills", "storms", "compare", "report", "preflight", "monitor"},
    "__init__": set(),
}
THIRD_PARTY: dict[str, set[str]] = {
    "errors": set(),
    "guard": set(),
    "launch": set(),
    "watcher": set(),
    "desk": {"attrs"},
    "wire": {"attrs", "msgspec"},
    "edge": {"attrs", "msgspec", "trio", "h11", "httpx", "httpcore", "coincurve", "Crypto"},
    "paper": {"attrs", "msgspec", "trio", "trio_websocket", "structlog"},
    "app": {"attrs", "msgspec", "trio", "trio_websocket", "h11", "structlog"},
    "drills": {"attrs", "trio"},
    "storms": {"attrs", "msgspec", "trio", "h11", "structlog", "outcome"},
    "compare": {"attrs"},
    "report": {"attrs"},
    "preflight": {"attrs", "trio"},
    "monitor": {"attrs", "msgspec", "trio", "structlog", "prometheus_client"},
    "__main__": set(),
    "__init__": set(),
}
# The standard library's pure part, as far as the pure floors need it.
PURE = {
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "collections.abc", "contextlib", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math",
    "operator", "re", "string", "typing", "urllib.parse",
}  # fmt: skip
CLOCK_READS = {"now", "utcnow", "today", "time", "monotonic"}
NURSERIES = {
    "app/supervisor.py": "the order of life and death",
    "app/practice.py": "the venue's own process: the venue, and a watch on its owner",
    "app/references.py": "the WebSocket library's reader of one connection",
    "app/panic.py": "its hedge: the same request on a second lane",
    "drills/command.py": "a watch for signals; timed drills whose tails overlap, then drills side by side",
    "drills/proxy.py": "either direction of a connection",
    "drills/stage.py": "its proxies, and scenes side by side",
    "preflight/references.py": "reference feeds are tried side by side",
    "monitor/process.py": "what it hears, reads, serves and draws, side by side",
    "monitor/delivery.py": "a worker for each target, so that one that hangs holds up no other",
    "monitor/alerting.py": "deliveries, and the daily summary beside them",
    "monitor/alert_test.py": "targets are tried side by side",
    "monitor/tell.py": "deliveries, beside the lines that come",
    "storms/world.py": "everything in one run: exchange, maker, guard and the story",
    "edge/http_server.py": "watches for the client's end beside a stream it sends",
}
GUARD_LINES_MAX = 450


@cache
def tree(room: str) -> ast.Module:
    return ast.parse((HOUSE / room).read_text(encoding="utf-8"), room)


def floor(room: str) -> str:
    return room.partition("/")[0].removesuffix(".py")


def imports(room: str) -> Iterator[str]:
    """Yield every module that a room imports, wherever in it; `from maker import errors` counts as maker.errors."""
    for node in ast.walk(tree(room)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{room}: relative imports hide the floor"
            module = node.module or ""
            if module.count(".") == 0 and module == "maker":
                yield from (f"maker.{alias.name}" for alias in node.names)
            elif module.count(".") == 1 and module.startswith("maker.") and (HOUSE / module.split(".")[1]).is_dir():
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module


def ours(room: str) -> set[str]:
    return {name for name in imports(room) if name == "maker" or name.startswith("maker.")}


def others(room: str) -> set[str]:
    return {name for name in imports(room) if not name.startswith("maker")}


def rooms(*floors: str) -> list[str]:
    found = [room for room in ROOMS if floor(room) in floors]
    assert found, floors
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_imports_only_go_down(room: str) -> None:
    """A room imports its own floor and those below; a floor that nobody drew has no place."""
    allowed = MAY_IMPORT[floor(room)] | {floor(room)}
    seen = {name.split(".")[1] for name in ours(room)}
    assert seen <= allowed


@pytest.mark.parametrize("room", ROOMS)
def test_each_floor_uses_only_its_libraries(room: str) -> None:
    seen = {name.split(".")[0] for name in others(room)} - set(sys.stdlib_module_names)
    assert seen <= THIRD_PARTY[floor(room)]


@pytest.mark.parametrize("room", rooms("desk", "wire"))
def test_the_pure_floors_know_no_world(room: str) -> None:
    """No clock, no randomness, no I/O, no logging: only the standard library's pure part, and no clock."""
    standard = {name for name in others(room) if name.split(".")[0] in sys.stdlib_module_names}
    assert standard <= PURE
    for node in ast.walk(tree(room)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert name not in CLOCK_READS, f"line {node.lineno} reads a clock"
            assert not (isinstance(node.func, ast.Name) and name in {"open", "print", "input"}), f"line {node.lineno}"
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"line {node.lineno} is async"


def test_only_the_client_imports_httpx() -> None:
    assert [room for room in ROOMS if any(name.split(".")[0] in {"httpx", "httpcore"} for name in imports(room))] == [
        "edge/client.py"
    ]


def test_only_the_wallet_imports_the_extra_and_not_before_it_is_used() -> None:
    """It is installed for `keys` alone: whatever else imports the wallet's room must work without."""
    extra = {"coincurve", "Crypto"}
    assert [room for room in ROOMS if extra & {name.split(".")[0] for name in imports(room)}] == ["edge/wallet.py"]
    for node in tree("edge/wallet.py").body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert ast.unparse(node).split()[1].split(".")[0] not in extra


def test_little_of_the_guard_is_shared() -> None:
    """The application reads configuration and key as its guard does, obeys the same kill file, shares its terminal."""
    beside = {"guard", "launch", "watcher"}
    seen = {name for room in rooms("app") for name in ours(room) if name.split(".")[1] in beside}
    launch = {f"maker.launch.{name}" for name in ("settings", "key", "running", "terminal", "latch")}
    assert seen <= {*launch, "maker.watcher.bounds"}


def test_nurseries_open_only_where_they_may() -> None:
    """The supervisor, the practice exchange and the few rooms listed with a reason; each with `async with`."""
    for room in ROOMS:
        opened = [node for node in ast.walk(tree(room)) if is_call_of(node, "open_nursery")]
        assert not opened or floor(room) == "paper" or room in NURSERIES, room
        entered = [
            item.context_expr
            for node in ast.walk(tree(room))
            if isinstance(node, ast.AsyncWith)
            for item in node.items
            if is_call_of(item.context_expr, "open_nursery")
        ]
        assert len(entered) == len(opened), f"{room}: a nursery is closed by the function that opened it"


def test_no_nursery_is_handed_on() -> None:
    """No function takes a nursery: whoever opened it starts its tasks."""
    for room in ROOMS:
        for node in ast.walk(tree(room)):
            if isinstance(node, ast.arg):
                annotation = ast.unparse(node.annotation) if node.annotation else ""
                assert "Nursery" not in annotation, f"{room}:{node.lineno}"
                assert node.arg != "nursery", f"{room}:{node.lineno}"


def is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


def test_no_room_has_a_private_name() -> None:
    private = [room for room in ROOMS if Path(room).name.startswith("_") and not Path(room).name.startswith("__")]
    assert private == []


def test_init_files_are_maps() -> None:
    """A package's __init__ holds its docstring and nothing else: a path shows the floor."""
    for room in ROOMS:
        if room.endswith("__init__.py"):
            body = tree(room).body
            assert len(body) == 1, room
            assert ast.get_docstring(tree(room)), room


def test_the_guard_is_short() -> None:
    lines = sum(len((HOUSE / room).read_text().splitlines()) for room in rooms("guard"))
    assert lines <= GUARD_LINES_MAX


def test_the_parent_runs_on_the_standard_library_alone() -> None:
    """Imported without site-packages it works, and nothing but the standard library and itself was loaded."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import maker.__main__; "
        "print([name for name in sys.modules if name.split('.')[0] not in sys.stdlib_module_names])"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(ROOT)], capture_output=True, text=True, check=True
    )
    loaded = set(ast.literal_eval(ended.stdout)) - {"__main__"}
    floors = {name.split(".")[1] for name in loaded if name.count(".")}
    assert {name.split(".")[0] for name in loaded} == {"maker"}
    assert floors == {"__main__", "guard", "launch"}
