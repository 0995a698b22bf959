"""Real browser pages that come and go on a real desk: nothing of them stays."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest
import requests
from bokeh.document import Document
from panel.viewable import Viewable
from playwright.sync_api import Browser

from tapedeck.desk import Desk
from tapedeck.relay.client import connect
from tapedeck.relay.listener import Listener, Subscription
from tapedeck.relay.server import StreamHandler
from tapedeck.settings import parse_start
from tests.inside import Inside
from tests.page_support import flow
from tests.running import last_price
from tests.support import wait_until

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser
ROUNDS, PAGES = 2, 10
KINDS = (Document, Viewable, Listener, StreamHandler, Subscription)


@pytest.fixture
def inside(tmp_path, monkeypatch) -> Iterator[Inside]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    running = Inside(tmp_path, sim_start=parse_start("2026-11-23T10:00:00"))
    yield running
    running.close()


def alive() -> Counter[str]:
    """How many of each kind there are after everything unreachable was collected."""
    gc.collect()
    return Counter(kind.__name__ for one in gc.get_objects() for kind in KINDS if isinstance(one, kind))


def connections(desk: Desk) -> tuple[int, int, int]:
    """At most at once, in all, refused: as the simulated exchange itself has it."""
    log = requests.get(f"{desk.exchange.ws_root.replace('ws', 'http', 1)}/sim/connections", timeout=10).json()
    return log["max_simultaneous"], log["total"], log["refused"]


@pytest.mark.timeout(300)
def test_twenty_pages_in_rounds_cost_one_connection_and_leave_nothing(inside: Inside, browser: Browser) -> None:
    desk, before, tasks = inside.desk, alive(), inside.tasks()
    for _ in range(ROUNDS):
        context = browser.new_context(viewport={"width": 1280, "height": 480})
        context.set_default_timeout(60_000)
        pages = [context.new_page() for _ in range(PAGES)]
        for page in pages:
            page.goto(inside.page, wait_until="commit")
        with connect(inside.stream, ["NSE:INFY"], headers=inside.headers) as client:
            for page in pages:
                flow(page, "window.__tapedeck?.state === 'live' && window.__tapedeck.rows === 50")
            wait_until(lambda client=client: last_price(client, "NSE:INFY"))
            assert desk.relay.client_count == PAGES + 1
        assert connections(desk) == (1, 1, 0)
        context.close()
        del client
        wait_until(lambda: desk.relay.client_count == 0)
        wait_until(lambda: not inside.serving.server.get_sessions())
        wait_until(lambda: desk.socket.status.subscribed == 0)
        wait_until(lambda: not alive() - before, every=0.5)
        wait_until(lambda: inside.tasks() == tasks)
    assert desk.socket.status.connections == 1
