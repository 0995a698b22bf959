"""A headless Chromium that tells when a number was painted, how busy its main thread is and how smoothly it paints."""

from __future__ import annotations

import shutil
import time
from types import TracebackType
from typing import NamedTuple

import numpy as np
from playwright.sync_api import Page, sync_playwright

from tapedeck.clock import SystemClock

#: The shell is the same browser without a window to keep up; any Chromium does.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), "chromium")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
WIDTH, HEIGHT = 1440, 900

#: Notes after the paint in which the element's text changed how old the number is by then. A change made while a
#: frame is prepared is painted with it; any other waits for the next frame. The message is handled after the paint.
_WATCH = """([pick, read, offset]) => {
  const element = () => (0, eval)(pick)
  const value = (0, eval)(read)
  window.ages = []
  const channel = new MessageChannel()
  const waiting = []
  channel.port1.onmessage = () => {
    const now = (performance.timeOrigin + performance.now()) / 1000 - offset
    for (const stamp of waiting.splice(0)) ages.push(now - stamp)
  }
  const painted = (stamp) => { waiting.push(stamp); channel.port2.postMessage(0) }
  let last = NaN
  const look = () => {
    const stamp = value(element())
    if (!(stamp > 0) || stamp === last) return
    last = stamp
    if (window.inFrame) painted(stamp)
    else requestAnimationFrame(() => painted(stamp))
  }
  new MutationObserver(look).observe(element().getRootNode(), {childList: true, characterData: true, subtree: true})
}"""
_FRAMES = """() => {
  const raf = window.requestAnimationFrame
  window.requestAnimationFrame = (call) => raf((at) => {
    window.inFrame = true
    try { call(at) } finally { window.inFrame = false }
  })
}"""
_SMOOTH = """(ms) => new Promise((done) => {
  const begun = performance.now()
  let last = begun, frames = 0, longest = 0
  const step = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    frames += 1
    now - begun < ms ? requestAnimationFrame(step) : done([frames * 1000 / (now - begun), longest])
  }
  requestAnimationFrame(step)
})"""


class Smooth(NamedTuple):
    """Frames a second, and the longest gap between two of them in milliseconds."""

    fps: float
    longest_ms: float


class Browser:
    """One page in a browser of its own; use it in `with`."""

    def __init__(self, port: int) -> None:
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        self.page: Page = self._chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        self.page.set_default_timeout(60_000)
        self.page.add_init_script(f"({_FRAMES})()")
        self.page.goto(f"http://127.0.0.1:{port}/")

    def ages(self, pick: str, read: str, seconds: float) -> np.ndarray:
        """Seconds from a number's stamp to its paint, for every change of one element's text within `seconds`.

        `pick` is JavaScript for the element, `read` a function from it to the stamp in real seconds.
        """
        offset = time.time() - SystemClock().monotonic()
        self.page.evaluate(_WATCH, [pick, read, offset])
        self.page.wait_for_timeout(seconds * 1000)
        return np.array(self.page.evaluate("window.ages"))

    def busy(self, seconds: float) -> float:
        """Share of that time, 0 to 1, in which the page's main thread was on a core."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def used() -> float:
            return next(
                m["value"] for m in session.send("Performance.getMetrics")["metrics"] if m["name"] == "TaskDuration"
            )

        before, at = used(), time.monotonic()
        self.page.wait_for_timeout(seconds * 1000)
        return (used() - before) / (time.monotonic() - at)

    def smooth(self, seconds: float) -> Smooth:
        """How smoothly the page paints."""
        return Smooth(*self.page.evaluate(_SMOOTH, seconds * 1000))

    def close(self) -> None:
        """End the browser."""
        self._chromium.close()
        self._playwright.stop()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()
