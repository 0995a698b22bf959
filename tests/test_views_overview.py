"""The market overview: what its parts show, in which state, and how one moves and chooses in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tapedeck import views
from tapedeck.index_members import nifty50
from tapedeck.views.overview_tiles import DOMAIN_PCT, overview_tiles
from tapedeck.views.relay_client import TAG
from tests.overview_support import KINDS, OverviewPage, overview, row

pytest_plugins = ["tests.page_fixtures"]

Open = Callable[..., OverviewPage]
NO_BUILD_UP: dict[str, Any] = {
    "oi": {kind: [] for kind in KINDS},
    "oi_held": False,
    "oi_reason": "futures are closed",
}


@pytest.fixture
def show(javascript: Any) -> Open:
    """Opens an overview of a size, scheme and palette."""
    return lambda **how: OverviewPage(javascript, **how)


def test_the_overview_is_one_object_that_fills_its_place_and_names_the_indexs_members() -> None:
    index = nifty50()
    pane = overview_tiles(index)
    assert pane.sizing_mode == "stretch_both"
    spec = json.loads(next(tag for tag in pane.tags if tag.startswith(TAG))[len(TAG) :])
    assert (spec["kind"], spec["approximate"], len(spec["members"])) == ("overview", True, 50)
    first = index.members[0]
    assert list(spec["members"][0].values()) == [first.key, first.symbol, first.sector, first.weight]
    assert f"NIFTY 50 by approximate weight, as of {index.as_of.day} {index.as_of:%b %Y}" in pane.object


def test_an_index_whose_weights_are_exact_is_not_called_approximate() -> None:
    exact = SimpleNamespace(name="A & B", as_of=nifty50().as_of, approximate=False, members=())
    html = overview_tiles(exact).object
    assert "A &amp; B by weight" in html
    assert "approximate" not in html


def test_the_legend_and_the_colours_have_the_same_domain() -> None:
    source = (Path(views.__file__).parent / "js" / "heatmap.js").read_text(encoding="utf-8")
    found = re.search(r"const HEAT_DOMAIN_PCT = (\d+)", source)
    assert found
    assert int(found[1]) == DOMAIN_PCT == 3


@pytest.mark.browser
def test_the_breadth_bar_counts_everything_with_sign_share_and_universe(show: Open) -> None:
    page = show(width=1440).show(overview())
    counts = ["▲12058%", "▼7436%", "=63%", "?63%"]
    assert [text.replace(" ", "") for text in page.texts(".count")] == counts
    assert page.texts(".universe") == ["206 NSE shares with derivatives"]
    label = page.run("() => root.querySelector('[data-breadth-bar]').ariaLabel")
    assert label == "Breadth of NSE shares with derivatives: 120 advances, 6 unchanged, 74 declines, 6 unknown"
    widths = page.run("() => [...root.querySelectorAll('.bar i')].map((e) => e.getBoundingClientRect().width)")
    assert [round(100 * width / sum(widths)) for width in widths[:3]] == [58, 3, 36]


@pytest.mark.browser
def test_each_list_shows_price_change_and_its_own_measure(show: Open) -> None:
    page = show(width=2200).show(overview())
    assert page.rows("Gainers")[0] == ["BAJAJFINSV", "1,525.50", "+6.10%", "12.35 L"]
    assert page.rows("Losers")[0] == ["MUTHOOTFIN", "1,525.50", "−6.10%", "12.35 L"]
    assert page.rows("Most active")[4] == ["MRF", "1,525.50", "0.00%", "1,883"]
    assert page.rows("OI build-up")[0] == ["BAJAJFINSV", "1,525.50", "+1.50%", "+12.3%"]
    assert page.texts(".measure")[:1] == ["Volume"]
    active = "[...root.querySelectorAll('.slot[aria-label=\"Most active\"] .percent')]"
    directions = page.run(f"() => {active}.map((e) => e.dataset.direction)")
    assert directions[3:6] == ["down", "", "up"]


@pytest.mark.browser
def test_a_number_that_is_absent_is_a_dash_and_a_name_is_only_ever_text(show: Open) -> None:
    bad = row("<img src=x onerror=alert(1)>", None, last_price=None, volume_traded=None)
    page = show().show(overview(gainers=[bad]))
    assert page.rows("Gainers") == [["<img src=x onerror=alert(1)>", "—", "—", "—"]]
    assert page.run("() => root.querySelector('img')") is None


@pytest.mark.browser
def test_an_empty_list_says_so(show: Open) -> None:
    whole = {"name": "NSE shares with derivatives", "count": 206, "current": 206}
    page = show(width=2200).show(overview(gainers=[], universe=whole, **NO_BUILD_UP))
    assert page.rows("Gainers") == []
    assert page.texts(".note") == ["nothing has risen", "", "", "futures are closed"]


@pytest.mark.browser
def test_nothing_is_said_of_prices_that_are_not_known_yet(show: Open) -> None:
    none = {"name": "NSE shares with derivatives", "count": 206, "current": 0}
    breadth = {"advances": 0, "declines": 0, "unchanged": 0, "unknown": 206}
    empty: dict[str, Any] = {"gainers": [], "losers": [], "active": [], "oi": {kind: [] for kind in KINDS}}
    page = show(width=2200).show(overview(universe=none, breadth=breadth, oi_universe=none, **empty))
    assert (page.mode, page.chip) == ("loading", "waiting for prices")
    assert "".join(page.texts(".note") + page.texts(".count b")) == ""
    some = none | {"current": 12}
    page.show(overview(universe=some, oi_universe=some, **empty))
    assert page.texts(".note") == [
        "nothing has risen, of 12 of 206 known",
        "nothing has fallen, of 12 of 206 known",
        "nothing has traded, of 12 of 206 known",
        "OI of 12 of 206 futures known yet",
    ]


@pytest.mark.browser
def test_the_kind_of_build_up_is_chosen_and_explained(show: Open) -> None:
    page = show(width=2200).show(overview(oi_known=120))
    page.page.get_by_label("Kind of open-interest build-up").select_option("short_covering")
    assert page.rows("OI build-up")[0][0] == "MUTHOOTFIN"
    assert page.texts(".hint")[-1] == "price ▲ OI ▼ · sellers buy back and leave"
    title = page.run("() => root.querySelector('.slot:last-child .kinds').title")
    assert title == "Short covering: price up and open interest down; sellers buy back and leave"
    assert page.texts(".slot:last-child .note") == ["OI of 120 of 206 futures known yet"]
    assert page.run("() => page.workspace.document.layout") == {"build_up": "short_covering"}


@pytest.mark.browser
def test_a_tile_of_the_heat_map_says_name_sector_weight_and_change(show: Open) -> None:
    message = overview()
    message["heatmap"][0][1:] = [0.431, 1741.2]
    message["heatmap"][1][1:] = [None, None]
    page = show().show(message)
    tile = "(symbol) => [...root.querySelectorAll('.heat-tile')].find((e) => e.ariaLabel.startsWith(symbol + ' '))"
    first, second = (page.run(f"(symbol) => ({tile})(symbol).ariaLabel", one.symbol) for one in nifty50().members[:2])
    assert first == "HDFCBANK Banks, weight 12.8% (approximate), +0.43%"
    assert second == "RELIANCE Energy, weight 8.5% (approximate), no number"
    assert page.run(f"(symbol) => ({tile})(symbol).dataset", "HDFCBANK")["direction"] == "up"
    blank = page.run(
        f"(symbol) => {{ const e = ({tile})(symbol); return [e.textContent, 'blank' in e.dataset] }}", "RELIANCE"
    )
    assert blank == ["RELIANCE—", True]


@pytest.mark.browser
def test_the_tile_that_is_looked_at_is_written_out_in_a_fixed_line(show: Open) -> None:
    page = show(width=1440).show(overview(heatmap=[["NSE:HDFCBANK", -0.5, 1741.2], ["NSE:RELIANCE", 1.0, 1.0]]))
    assert page.texts(".info") == ["▲ 1  ▼ 1  = 0  of 50"]
    page.page.get_by_role("button", name="HDFCBANK Banks").hover()
    assert page.texts(".info span:not(:empty)") == ["HDFCBANK", "1,741.20", "−0.50%", "weight ≈ 12.8% · Banks"]
    page.show(overview(heatmap=[["NSE:HDFCBANK", 0.25, 1750.0]]))
    assert page.texts(".info span:not(:empty)")[1:3] == ["1,750.00", "+0.25%"]


@pytest.mark.browser
def test_the_overview_loads_in_its_final_geometry(show: Open) -> None:
    page = show().show(None, state="loading", reason="connecting to the desk", dead=True)
    boxes = """() => [...root.querySelectorAll(".row, .heat-tile, .count")]
      .map((e) => JSON.stringify(e.getBoundingClientRect()))"""
    assert (page.mode, page.chip) == ("loading", "loading")
    assert page.number_texts().strip() == ""
    loading = page.run(boxes)
    page.show(overview())
    assert page.mode == "live"
    assert page.run(boxes) == loading


@pytest.mark.browser
@pytest.mark.parametrize(
    ("verdict", "message", "mode", "chip"),
    [
        ({}, {}, "live", ""),
        ({}, {"problem": "subscription limit of 3000"}, "live", "subscription limit of 3000"),
        ({"state": "late", "age": 3.42}, {}, "late", "late 3.4 s"),
        ({"state": "blank", "reason": "login required"}, {}, "blank", "login required"),
        ({"state": "blank", "reason": "login required"}, {"problem": "login required"}, "blank", "login required"),
        ({}, {"held": False, "date": 20261123}, "closed", "close 23 Nov"),
        ({"state": "blank", "reason": "feed silent"}, {"held": False, "date": 20261123}, "closed", "close 23 Nov"),
        (
            {"state": "blank", "reason": "desk silent", "dead": True},
            {"held": False, "date": 20261123},
            "blank",
            "desk silent",
        ),
    ],
)
def test_each_state_says_why_it_looks_as_it_does(
    show: Open, verdict: dict, message: dict, mode: str, chip: str
) -> None:
    page = show().show(overview(**message), **verdict)
    assert (page.mode, page.chip) == (mode, chip)
    assert bool(re.search(r"\d", page.number_texts())) == (mode != "blank")
    if mode == "blank":
        assert set(page.number_texts().split()) <= {"—"}
        assert page.run("() => [...root.querySelectorAll('.heat-tile')].every((e) => 'blank' in e.dataset)")


@pytest.mark.browser
def test_a_replay_has_its_frame_and_its_clock(show: Open) -> None:
    page = show()
    page.run("() => { page.market.replay = true }")
    page.show(overview())
    assert page.texts("[data-watermark]") == ["REPLAY 10:00:00"]
    assert page.run("() => root.hasAttribute('data-replay')")


@pytest.mark.browser
def test_a_desk_that_does_not_tell_is_waited_for_and_then_named(show: Open) -> None:
    page = show().show(None)
    assert (page.mode, page.chip) == ("loading", "loading")
    page.run("() => { page.clock += 5100 }")
    page.show(None)
    assert (page.mode, page.chip) == ("blank", "the desk has not told the overview yet")
    assert page.show(overview()).mode == "live"


@pytest.mark.browser
def test_a_message_of_another_epoch_or_of_before_a_reconnect_is_not_shown(show: Open) -> None:
    page = show().show(overview(epoch=2))
    assert page.mode == "loading"
    page.show(overview())
    page.run("async () => { page.stream.connects = 2; part.heard('welcome', {}); part.draw(page); await settled() }")
    assert page.mode == "loading"
    assert page.show(overview()).mode == "live"


@pytest.mark.browser
def test_what_is_from_before_a_pause_is_not_shown_after_it(show: Open) -> None:
    page = show().show(overview())
    page.run("async () => { page.stream.paused = true; part.draw(page); page.stream.paused = false; part.draw(page) }")
    assert page.mode == "loading"
    assert page.show(overview()).mode == "live"


@pytest.mark.browser
def test_only_an_overview_on_screen_is_asked_for(show: Open) -> None:
    page = show().show(overview())
    assert page.run("() => page.stream.wished") == [["topics", ["overview"]]]
    page.run("async () => { host.style.display = 'none'; await settled() }")
    assert page.run("() => page.stream.wished.at(-1)") == ["topics", []]
    page.run("async () => { page.clock += 60000; host.style.display = ''; await settled(); part.draw(page) }")
    assert page.run("() => page.stream.wished.length") == 3
    assert page.mode == "loading"
    page.run("() => part.stop()")
    assert page.run("() => page.stream.wished.at(-1)") == ["topics", []]


@pytest.mark.browser
def test_a_click_selects_and_the_selected_one_is_marked_wherever_it_stands(show: Open) -> None:
    page = show(width=2200).show(overview())
    page.page.locator('.slot[aria-label="Gainers"] .row').nth(7).click()
    assert page.run("() => page.chosen") == ["NSE:INFY"]
    marked = page.run("() => [...root.querySelectorAll('[aria-current=true]')].map((e) => e.textContent.split(' ')[0])")
    assert [text[:4] for text in marked] == ["INFY"] * 5
    page.page.get_by_role("button", name="HDFCBANK Banks").click()
    assert page.run("() => page.chosen.at(-1)") == "NSE:HDFCBANK"
    assert page.run("() => root.querySelectorAll('[aria-current=true]').length") == 1
