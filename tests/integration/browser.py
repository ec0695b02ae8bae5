"""A browser without a screen, driven over its own protocol (Chrome DevTools) through a pipe: what a page shows, asks for and complains of."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The pipe's two ends are the descriptors 3 and 4 of the browser; a program elsewhere, as behind `docker exec -i`, has only the first three.
START = (
    "exec chromium --headless=new --no-sandbox --disable-gpu --no-first-run --user-data-dir=$(mktemp -d) --remote-debugging-pipe"
    " 3<&0 4>&1 >/dev/null 2>&1 </dev/null"
)
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")

Answer = dict[str, Any]


class Browser:
    """One page of a browser. events: what it told beside answers, in order."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self._number, self._session, self.events = process, 0, None, list[Answer]()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Answer:
        """Return what a command of the protocol answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while (told := self._read()).get("id") != self._number:
            self.events.append(told)
        assert "error" not in told, (method, told["error"])
        return dict(told["result"])

    def _read(self) -> Answer:
        assert self._process.stdout
        text = bytearray()
        while (byte := self._process.stdout.read(1)) != b"\0":
            assert byte, "the browser is gone"
            text += byte
        return dict(json.loads(text))

    def open(self, url: str, width: int, scheme: str = "light", media: str = "screen") -> None:
        """Open a page as it is on a screen of that width, or on paper."""
        self.events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600)
        self.ask(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        self.ask("Page.navigate", url=url)
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        told = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def complaints(self) -> list[Answer]:
        """Return what the page had to complain of since it was opened."""
        return [one for one in self.events if one.get("method") in COMPLAINTS]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the page was opened, its own included."""
        sent = [one for one in self.events if one.get("method") == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]

    def picture(self, path: Path) -> None:
        """Keep a picture of the whole page."""
        told = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))

    def paper(self) -> bytes:
        """Return the page as a PDF."""
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True)["data"])


@contextmanager
def browser(prefix: Sequence[str] = ()) -> Iterator[Browser]:
    """Start a browser, by a command that is put before it where it is elsewhere, and end it."""
    process = subprocess.Popen([*prefix, "sh", "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Browser(process)
    finally:
        process.kill()
        process.wait()
