"""A headless Chromium, driven through its DevTools protocol.

One browser serves a whole file of tests; each test has a profile of its own in it, so that nothing is left from one to
the next. Everything waits for something that happens, never for time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS_MAX: Final = 60.0  # a busy machine has taken 12
WAIT_SECONDS_MAX: Final = 60.0  # for a page to show something; a busy machine has taken 30
ANSWER_SECONDS_MAX: Final = WAIT_SECONDS_MAX + 15  # for an answer, which may be such a wait
MESSAGE_BYTES_MAX: Final = 64 << 20  # a screenshot of a long page
FLAGS: Final = (
    "--headless=new", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--mute-audio",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


def program() -> str | None:
    """The browser's program; None where there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextlib.contextmanager
def started(path: str) -> Iterator[str]:
    """Run a browser; the value is the address of its DevTools."""
    with tempfile.TemporaryDirectory(prefix="maker-page-", ignore_cleanup_errors=True) as folder:
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()  # its sandbox refuses to be started by root
        with (
            Path(folder, "errors").open("w+b") as errors,
            subprocess.Popen(
                [path, *FLAGS, *sandbox, f"--user-data-dir={folder}/profile", "about:blank"],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield devtools(process, Path(folder, "profile", "DevToolsActivePort"), Path(folder, "errors"))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def devtools(process: subprocess.Popen[bytes], told: Path, errors: Path) -> str:
    """Wait until a browser has written where it listens."""

    async def wait() -> str:
        with trio.fail_after(START_SECONDS_MAX):
            while process.poll() is None:
                lines = told.read_text().split() if told.exists() else []
                if len(lines) == 2:
                    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
                await trio.sleep(0.02)  # it has no other way to say so
        raise AssertionError(
            f"the browser ended with {process.returncode}: {errors.read_text(errors='replace')[-2000:]}"
        )

    return trio.run(wait)


@attrs.define
class Browser:
    """One connection to a browser, for all pages of a test."""

    socket: WebSocketConnection
    context: str = ""
    number: int = 0
    answers: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    pages: dict[str, Page] = attrs.field(factory=dict)  # by session
    changed: trio.Event = attrs.field(factory=trio.Event)

    async def listen(self) -> None:
        while True:
            message = json.loads(await self.socket.get_message())
            if "id" in message:
                self.answers[message["id"]] = message
            elif message.get("sessionId") in self.pages:
                self.pages[message["sessionId"]].take(message["method"], message["params"])
            self.changed.set()
            self.changed = trio.Event()

    async def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Ask and wait for the answer. Raises AssertionError where it is a refusal."""
        self.number += 1
        number = self.number
        asked = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        await self.socket.send_message(json.dumps(asked))
        with trio.fail_after(ANSWER_SECONDS_MAX):
            while number not in self.answers:
                await self.changed.wait()
        answer = self.answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result = answer["result"]
        assert isinstance(result, dict)
        return result

    async def page(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """Open a page. What it says on its console and asks of the network is kept from the beginning."""
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=self.context)
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"], target["targetId"])
        self.pages[page.session] = page
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.call(f"{domain}.enable")
        await page.size(width, height)
        await page.scheme(dark=dark)
        await page.call("Page.navigate", url=url)
        return page


@attrs.define
class Page:
    """One tab."""

    browser: Browser
    session: str
    target: str
    problems: list[str] = attrs.field(factory=list)  # errors and warnings of the console, exceptions, refused loads
    urls: list[str] = attrs.field(factory=list)  # everything it asked the network for

    def take(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.urls.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.urls.append(params["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"])))
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            self.problems.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.problems.append(f"{params['entry']['text']} ({params['entry'].get('url', '')})")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.browser.call(method, self.session, **params)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page. Raises AssertionError where it throws."""
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def wait(self, condition: str, seconds: float = WAIT_SECONDS_MAX) -> None:
        """Wait until an expression is true. Raises AssertionError with what the page says where it never is."""
        done = await self.evaluate(
            f"new Promise((done) => {{ const end = performance.now() + {seconds * 1000};"
            f"const look = () => {{ let yes = false; try {{ yes = Boolean({condition}) }} catch {{}}"
            "if (yes || performance.now() > end) done(yes); else setTimeout(look, 25) }; look() })"
        )
        assert done, f"never came true: {condition}; the page says {await self.text('#banner')!r}; {self.problems}"

    async def text(self, selector: str) -> str:
        found = await self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        assert isinstance(found, str)
        return found

    async def size(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def scheme(self, *, dark: bool) -> None:
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def click(self, selector: str) -> None:
        """Press the mouse where something is shown, whatever lies above it there."""
        x, y = await self.evaluate(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)}); node.scrollIntoViewIfNeeded();"
            "const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key as a person does: Tab, Enter, Escape, ArrowLeft and the like."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}[key]
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": "\r"} if key == "Enter" else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    async def write(self, words: str) -> None:
        await self.call("Input.insertText", text=words)

    async def screenshot(self, path: Path, *, whole: bool = True) -> None:
        metrics = await self.call("Page.getLayoutMetrics")
        size = metrics["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
        told = await self.call(
            "Page.captureScreenshot", captureBeyondViewport=whole, **({"clip": clip} if whole else {})
        )
        path.write_bytes(base64.b64decode(told["data"]))

    async def close(self) -> None:
        await self.browser.call("Target.closeTarget", targetId=self.target)


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Browser]:
    """Connect to a browser, with a fresh profile that is thrown away afterwards."""
    async with (
        open_websocket_url(address, max_message_size=MESSAGE_BYTES_MAX) as socket,
        trio.open_nursery() as nursery,
    ):
        browser = Browser(socket)
        nursery.start_soon(browser.listen)
        browser.context = (await browser.call("Target.createBrowserContext"))["browserContextId"]
        yield browser
        await browser.call("Target.disposeBrowserContext", browserContextId=browser.context)
        nursery.cancel_scope.cancel(reason="the test is over")
