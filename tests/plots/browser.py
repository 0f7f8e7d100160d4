"""A headless Chromium over its debugging pipe; standard library only."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser")

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip

_MOVE_PIPES = """
import os, sys
for there, here in enumerate(sys.argv[1:3], 3):
    os.dup2(int(here), there)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """A tab: commands and the events that came with their answers."""

    def __init__(self, send: int, receive: int) -> None:
        self.send, self.receive = send, receive
        self.buffer, self.number = b"", 0
        self.events: list[dict[str, Any]] = []
        self.session: str | None = None

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            chunk = os.read(self.receive, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser closed its pipe")
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return dict(json.loads(message))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            command["sessionId"] = self.session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self.send, data) :]
        while True:
            message = self._message()
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self.events.append(message)

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return the next event of a name, old ones included."""
        while True:
            for message in self.events:
                if message.get("method") == event:
                    self.events.remove(message)
                    return message
            self.events.append(self._message())

    def run(self, script: str) -> Any:
        """Return the value of a script, which may be a promise."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def open(self, path: Path, width: int = 1100) -> None:
        """Load a file at a width of the window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")


@contextmanager
def browser() -> Iterator[Page]:
    """Start Chromium with a new profile and open a tab."""
    assert EXECUTABLE is not None
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        to_read, to_send = os.pipe()
        from_read, from_send = os.pipe()
        # the browser reads its commands from descriptor 3 and answers on 4
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_read, from_send)]
        command = [EXECUTABLE, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-c", _MOVE_PIPES, *map(str, high), *command],
            pass_fds=high,
            stderr=subprocess.DEVNULL,
            cwd=profile,
        )
        for fd in high:
            os.close(fd)
        os.close(to_read)
        os.close(from_send)
        page = Page(to_send, from_read)
        try:
            target = page.call("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)[
                "sessionId"
            ]
            for domain in ("Page", "Runtime", "Network", "Log"):
                page.call(f"{domain}.enable")
            yield page
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            finally:
                process.kill()  # does nothing to one that has ended
                process.wait()
                os.close(to_send)
                os.close(from_read)
