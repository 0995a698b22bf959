"""Every route answers, with and without what it needs; wrong parameters get the reason; nothing is cached."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboards.answers import plain
from dashboards.api import ROUTES
from dashboards.app import PAGES
from dashboards.client import PATH as CLIENT
from tapedeck import sessions
from tapedeck.settings import parse_start
from tapedeck.views.relay_client import build_module
from tests.inside import Inside
from tests.support import wait_until

#: Routes that must be told which instruments.
OF_KEYS = {"/api/quotes", "/api/day", "/api/instruments/listed"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[Inside]:
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        running = Inside(folder, sim_start=parse_start("2026-11-23T10:00:00"))
        wait_until(lambda: running.get("/readyz").status_code == 200)
        yield running
        running.close()


def strict(text: str) -> object:
    """JSON as a browser reads it: NaN and Infinity are errors."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("path", [path for path, _ in ROUTES])
def test_every_route_answers_json_that_is_never_cached(desk, path):
    answer = desk.get(path + ("?i=NSE:INFY" if path in OF_KEYS else ""))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].startswith("application/json")
    strict(answer.text)


def test_a_page_names_the_client_by_what_it_holds_and_it_is_kept_for_good(desk):
    assert f'import("./{CLIENT}")' in desk.get("/").text
    answer = desk.get(f"/{CLIENT}")
    assert answer.text == build_module()
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert {"private", "immutable"} <= set(answer.headers["Cache-Control"].split(", "))


@pytest.mark.parametrize("path", list(PAGES))
def test_every_page_is_served(desk, path):
    answer = desk.get(path)
    assert answer.status_code == 200
    assert "Tapedeck" in answer.text
    assert "://cdn." not in answer.text


@pytest.mark.parametrize(
    "path", [*(path for path, _ in ROUTES), *PAGES, f"/{CLIENT}", "/api/stream", "/ws", "/static/js/bokeh.min.js"]
)
@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_a_stranger_gets_nothing_from_any_route(desk, path, headers):
    answer = desk.get(path, headers=headers)
    assert answer.status_code == (421 if "Host" in headers else 403)


@pytest.mark.parametrize("path", [path for path, _ in ROUTES])
def test_other_methods_are_refused(desk, path):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        if (method, path) != ("PUT", "/api/workspace"):
            assert requests.request(method, desk.address + path, headers=desk.headers, timeout=10).status_code in {
                403,
                405,
            }


def test_what_is_listed_is_told_of_many_at_once(desk):
    keys = ["NSE:INFY", "NSE:NO SUCH", "NSE:NIFTY 50", "BSE:INFY; drop"]
    answer = desk.get("/api/instruments/listed?" + urlencode([("i", key) for key in keys]))
    assert answer.json() == {"listed": dict(zip(keys, [True, False, True, False], strict=True))}


def test_an_unknown_route_is_told_so_as_json(desk):
    answer = desk.get("/api/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"] == "not_found"


def test_quotes_nobody_watched_are_fresh_and_carry_source_and_age(desk):
    body = desk.json("/api/quotes?i=NSE:INFY&i=NSE:NIFTY%2050")
    assert body["simulated"]
    assert body["source"].startswith("sim:7:")
    for row in body["quotes"].values():
        assert row["fresh"], row
        assert row["last_price"] > 0
        assert row["feed_age_s"] < 5


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "1 to 500"),
        ("i=INFY", 400, "EXCHANGE:TRADINGSYMBOL"),
        ("i=NSE:INFYY", 404, "INFY"),
        ("x=NSE:INFY", 400, "not known here; allowed: i"),
        ("i=%ff", 400, "UTF-8"),
        ("i=NSE:" + "A" * 300, 400, "200"),
    ],
)
def test_a_wrong_question_for_quotes_is_told_why(desk, query, status, words):
    answer = desk.get("/api/quotes?" + query)
    assert answer.status_code == status
    assert words in answer.json()["reason"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", "1 to 500"),
        ("limit=ten", "1 to 500"),
        ("exchange=NYSE", "allowed: NSE"),
        ("limit=1&limit=2", "once"),
        ("type=STOCK", "allowed: EQ, INDEX, FUT, CE, PE"),
        ("type=ce", "type was 'ce'"),
        ("expiry=24-11-2026", "a date such as 2026-11-24"),
        ("expiry=20261124", "a date such as"),
        ("expiry=2026-02-30", "a date such as"),
        ("expiry=2026-11-24&type=EQ", "with type EQ"),
        ("strike=1e5", "rupees such as"),
        ("strike=-5", "rupees such as"),
        ("strike=24500&type=FUT", "with CE or PE"),
        ("name=infy", "allowed: exchange, expiry, limit, q, strike, type"),
    ],
)
def test_a_wrong_search_is_told_why(desk, query, words):
    answer = desk.get("/api/instruments?" + query)
    assert answer.status_code == 400
    assert words in answer.json()["reason"]


def test_search_finds_by_symbol_and_by_name(desk):
    found = desk.json("/api/instruments?q=infosys&limit=3")["instruments"]
    assert "NSE:INFY" in [one["key"] for one in found]
    assert desk.json("/api/instruments?q=infy&exchange=NSE")["instruments"][0]["key"] == "NSE:INFY"


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("q=relaince&type=EQ", ["NSE:RELIANCE"]),
        ("q=banknfty+fut&limit=1", ["NFO:BANKNIFTY26NOVFUT"]),
        ("q=nifty+26000+ce&limit=1", ["NFO:NIFTY26NOV26000CE"]),
        ("q=nify&type=PE&strike=26000&expiry=2026-11-23", ["NFO:NIFTY26NOV26000PE"]),
        ("q=&type=FUT&limit=2", ["NFO:360ONE26NOVFUT", "NFO:ABB26NOVFUT"]),
        ("type=INDEX&exchange=BSE", ["BSE:SENSEX"]),
        ("type=CE&strike=26000&expiry=2026-11-23&exchange=", ["NFO:NIFTY26NOV26000CE"]),
        ("q=infy&exchange=MCX", []),
        ("q=", []),
    ],
)
def test_search_narrows_by_exchange_type_expiry_and_strike(desk, query, keys):
    answer = desk.get("/api/instruments?" + query)
    assert answer.status_code == 200, answer.text
    assert [one["key"] for one in answer.json()["instruments"]] == keys


def test_a_day_on_which_nothing_expires_is_told_beside_what_is_found(desk):
    said = desk.json("/api/instruments?q=banknifty+59000+12nov+pe")
    assert said["note"] == "no expiry on 12 Nov; nearest 23 Nov"
    assert said["instruments"]
    assert desk.json("/api/instruments?q=banknifty+59000+23nov+pe")["note"] == ""


def test_market_status_knows_every_segment_and_its_next_transition(desk):
    body = desk.json("/api/system/market-status")
    assert set(body["segments"]) == set(sessions.SEGMENTS)
    for status in body["segments"].values():
        assert status["status"] in {"PRE_OPEN", "LIVE", "CLOSED"}
        assert status["next_status"] in {"PRE_OPEN", "LIVE", "CLOSED"}
        assert status["next_transition"] > body["at"]
    assert desk.get("/api/system/market-status?segment=NYSE").status_code == 400
    assert set(body["segments"]["NSE_EQ"]["classes"]) == {"cas", "index"}


def test_the_report_of_a_running_desk_has_something_in_every_section(desk):
    report = desk.json("/api/system/report")
    assert report["feed"]["state"] == "LIVE"
    assert [one["state"] for one in report["feed"]["timeline"]][:2] == ["LIVE", "CONNECTING"]
    assert report["quota"]["other"]["total"] >= 1, "the instruments were asked for within the quota"
    assert {one["segment"] for one in report["phases"]} == set(sessions.SEGMENTS)
    assert report["storage"]["free"] > 0
    assert report["versions"]["tapedeck"]
    assert report["text"].startswith("== Tapedeck")
    assert set(desk.json("/api/system/config")) == {"checked", "settings"}


def test_a_probe_may_ask_without_wanting_the_body(desk):
    answer = requests.head(desk.address + "/healthz", timeout=5)
    assert (answer.status_code, answer.text) == (200, "")


NAMES = ["i", "q", "limit", "exchange", "segment", "step", "type", "expiry", "strike", "x"]
words = st.text(max_size=30) | st.sampled_from(["NSE:INFY", "NSE:", ":", "256265", "-1", "1e9", "NaN", "\x00", "٣"])


@settings(max_examples=700, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(
        [
            "/api/quotes",
            "/api/day",
            "/api/instruments",
            "/api/instruments/listed",
            "/api/system/market-status",
            "/healthz",
        ]
    ),
    query=st.lists(
        st.tuples(
            st.sampled_from(["i", "q", "limit", "exchange", "segment", "step", "type", "expiry", "strike", "x"])
            | words,
            words,
        ),
        max_size=4,
    ),
)
def test_no_question_breaks_a_route(desk, path, query):
    answer = SESSION.get(f"{desk.address}{path}?{urlencode(query)}", headers=desk.headers, timeout=10)
    body = strict(answer.text)
    assert answer.status_code in {200, 400, 404}, answer.text
    if answer.status_code != 200:
        assert isinstance(body, dict)
        assert body["reason"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=60))
def test_no_bytes_in_a_query_break_a_route(desk, raw):
    query = "".join(f"%{byte:02x}" for byte in raw)
    answer = SESSION.get(f"{desk.address}/api/instruments?q={query}", headers=desk.headers, timeout=10)
    assert answer.status_code in {200, 400}
    strict(answer.text)


SESSION = requests.Session()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_is_answered_is_json_that_a_browser_reads(value):
    strict(json.dumps(plain(value)))


def test_a_number_that_is_not_one_is_null():
    assert plain({"a": math.nan, "b": [math.inf], "c": True}) == {"a": None, "b": [None], "c": True}
