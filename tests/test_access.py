"""Only this machine, and only pages this desk served itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import requests
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from dashboards.access import Gate, require_loopback
from tapedeck.errors import ConfigError


class Hello(RequestHandler):
    def get(self) -> None:
        self.write("hello")


@pytest.fixture
def served() -> Iterator[int]:
    """Port of a server with one page behind the gate."""
    port: list[int] = []
    loops: list[IOLoop] = []
    ready = threading.Event()

    def run() -> None:
        async def main() -> None:
            socket, number = bind_unused_port()
            application = Application([("/", Hello)])
            Gate(number).guard(application)
            server = HTTPServer(application)
            server.add_sockets([socket])
            port.append(number)
            loops.append(IOLoop.current())
            stop = asyncio.Event()
            stops.append(stop)
            ready.set()
            await stop.wait()
            server.stop()
            await server.close_all_connections()

        asyncio.run(main())

    stops: list[asyncio.Event] = []
    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(5)
    yield port[0]
    loops[0].add_callback(stops[0].set)
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_the_names_of_this_machine_are_welcome(served, name):
    answer = requests.get(f"http://127.0.0.1:{served}/", headers={"Host": f"{name}:{served}"}, timeout=5)
    assert answer.text == "hello"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}"]
)
def test_another_host_name_is_refused_so_that_rebinding_a_name_gains_nothing(served, host):
    answer = requests.get(f"http://127.0.0.1:{served}/", headers={"Host": host.format(port=served)}, timeout=5)
    assert answer.status_code == 403
    assert "answers to" in answer.json()["reason"]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://127.0.0.1:{port}.evil.example"]
)
def test_a_page_of_another_origin_is_refused(served, origin):
    headers = {"Origin": origin.format(port=served)}
    answer = requests.get(f"http://127.0.0.1:{served}/", headers=headers, timeout=5)
    assert answer.status_code == 403
    assert "Origin was" in answer.json()["reason"]


def test_a_picture_on_a_page_of_another_site_is_refused_and_a_link_to_the_desk_is_not(served):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert requests.get(f"http://127.0.0.1:{served}/", headers=headers, timeout=5).status_code == 403
    headers["Sec-Fetch-Mode"] = "navigate"
    assert requests.get(f"http://127.0.0.1:{served}/", headers=headers, timeout=5).status_code == 200


def test_the_address_a_desk_was_bound_to_is_one_of_its_names():
    assert "127.0.0.2:5006" in Gate(5006, "127.0.0.2").hosts
    assert "127.0.0.1" in Gate(80).hosts


def test_a_page_of_this_desk_is_welcome(served):
    headers = {"Origin": f"http://localhost:{served}"}
    assert requests.get(f"http://127.0.0.1:{served}/", headers=headers, timeout=5).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_loopback_addresses_may_be_listened_on(host):
    assert require_loopback(host) == host


def test_brackets_of_an_address_are_taken_off_by_the_door():
    assert require_loopback("[::1]") == "::1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "desk.example", ""])
def test_anything_wider_than_loopback_is_refused_with_the_remedy(host):
    with pytest.raises(ConfigError, match="SSH tunnel"):
        require_loopback(host)
