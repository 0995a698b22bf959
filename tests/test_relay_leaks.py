"""Viewers come and go: nothing of them stays, not what they subscribed, looked at, watched or listened to."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections import Counter
from typing import Any

from tapedeck.relay.books import Book
from tapedeck.relay.client import connect
from tapedeck.relay.frame_maker import FrameMaker
from tapedeck.relay.listener import Focus, Listener, Subscription
from tapedeck.relay.server import Relay, StreamHandler
from tapedeck.relay.wire import Packet
from tests.relay_support import Rumour, Stage, Viewer, served
from tests.support import wait_until

OURS = (Book, Focus, FrameMaker, Listener, Packet, StreamHandler, Subscription)


def census() -> Counter[str]:
    """How many of the relay's things live."""
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, OURS))


def parts(relay: Relay, listener: Listener) -> list[Any]:
    """Everything that belongs to a viewer."""
    mine = [listener, listener.outlet, listener.focus, *listener.depth]
    shared = relay._wishes.nothing
    return [thing for thing in [*mine, listener.subscription] if thing is not None and thing is not shared]


def assert_empty(relay: Relay) -> None:
    assert relay.client_count == 0
    assert len(relay._wishes.subscriptions) == 1, "only the empty one"
    assert len(relay._wishes.books) == 0
    assert relay._topics.listeners("overview") == 0
    assert relay._round is None


def arrive(stage: Stage, n: int) -> Viewer:
    """A viewer with a wish of its own of every kind."""
    viewer = stage.viewer(json.dumps({"a": "hello", "v": [f"NSE:S{i}" for i in range(1, 3 + n)], "rate": 10}))
    viewer.say(json.dumps({"a": "focus", "v": [f"NSE:S{1 + n % 3}"]}))
    viewer.say(json.dumps({"a": "depth", "v": ["NSE:S1", f"NSE:S{2 + n % 2}"]}))
    viewer.say('{"a": "topics", "v": ["overview"]}')
    return viewer


def test_rounds_of_viewers_leave_nothing_behind():
    rumour = Rumour()
    stage = Stage(20, topics={"overview": rumour})
    counts = []
    for turn in range(10):
        viewers = [arrive(stage, n) for n in range(12)]
        stage.publish(*(float(turn + i) for i in range(20)))
        stage.beat(3)
        watched = [weakref.ref(thing) for viewer in viewers for thing in parts(stage.relay, viewer.listener)]
        assert len(watched) >= 12 * 4
        for n, viewer in enumerate(viewers):
            # Some change their mind before they go, some read nothing, some are cut off.
            viewer.say('{"a": "focus", "v": []}') if n % 3 == 0 else None
            viewer.stuck = n % 4 == 0
            stage.beat()
            stage.relay.leave(viewer.listener)
        stage.beat(3)
        del viewers, viewer
        counts.append(census())
        assert [ref() for ref in watched if ref() is not None] == []
        assert_empty(stage.relay)
        assert stage.wishes.held == {}
        assert rumour.heard[-1] is False
    assert counts[0] == counts[-1]


def test_wishes_that_are_replaced_do_not_pile_up():
    before = census()
    stage = Stage(20, topics={"overview": Rumour()})
    viewer = stage.viewer(json.dumps({"a": "hello", "v": [f"NSE:S{i}" for i in range(1, 21)], "rate": 10}))
    for i in range(200):
        viewer.say(json.dumps({"a": "focus", "v": [f"NSE:S{1 + (i + j) % 20}" for j in range(3)]}))
        viewer.say(json.dumps({"a": "depth", "v": [f"NSE:S{1 + i % 19}"]}))
        viewer.say('{"a": "unsubscribe", "v": ["NSE:S20"]}' if i % 2 else '{"a": "subscribe", "v": ["NSE:S20"]}')
        stage.beat(4)
    lives = census()
    # Others' may have died meanwhile, but none of theirs was born.
    most = {"Book": 1, "Focus": 1, "Subscription": 2}  # its own and the empty one
    assert {name: lives[name] - before[name] for name in most if lives[name] - before[name] > most[name]} == {}
    assert stage.relay.stats["refused_messages"] == 0


def test_a_change_of_source_keeps_nothing_of_the_old_one():
    stage = Stage(20, topics={"overview": Rumour()})
    viewers = [arrive(stage, n) for n in range(4)]
    stage.beat()
    old = [weakref.ref(thing) for v in viewers for thing in parts(stage.relay, v.listener)[2:]]
    stage.hub.open_source("sim:7:2026-11-20", stage.hub.instruments)
    stage.beat()
    gc.collect()
    assert len(old) >= 4
    assert [ref() for ref in old if ref() is not None] == []


def test_rounds_of_real_connections_leave_nothing_behind():
    with served(20, topics={"overview": Rumour()}) as server:
        server.publish(*range(20))
        counts = []
        for _ in range(3):
            clients = [connect(server.url, [f"NSE:S{1 + n % 3 + i}" for i in range(10)], rate=10) for n in range(10)]
            for n, client in enumerate(clients):
                client.focus(f"NSE:S{3 + n % 3}")
                client.watch_books("NSE:S4", f"NSE:S{5 + n % 3}")
                client.listen("overview")
                assert client.wait(lambda mirror: len(mirror.table) == 10)
                # A feed that says nothing for five seconds is not fresh, and ten clients may take as long.
                server.publish(*range(20))
                wait_until(lambda client=client: client.depth("NSE:S4")["fresh"] and client.topic("overview")["fresh"])
            assert len(server.wishes.held) == 10
            listeners = server.on_loop(lambda: list(server.relay._listeners.values()))
            watched = [weakref.ref(thing) for one in listeners for thing in parts(server.relay, one)]
            del listeners
            threads = [thread for thread in threading.enumerate() if thread.name == "tapedeck-stream"]
            for client in clients:
                client.close()
            wait_until(lambda: server.relay.client_count == 0)
            assert server.wishes.held == {}
            assert not any(thread.is_alive() for thread in threads)

            def gone(watched: list = watched) -> bool:
                gc.collect()
                return all(ref() is None for ref in watched)

            wait_until(gone)
            server.on_loop(lambda: assert_empty(server.relay))
            counts.append(server.on_loop(census))
        assert counts[0] == counts[-1]
