"""The live components as Python makes them: what they subscribe to, show and leave to the browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tapedeck.views
from dashboards import app
from dashboards.live import TAPE, relay_client
from tapedeck import feed, sessions
from tapedeck.relay import frames
from tapedeck.views import style
from tapedeck.views.live_table import WATCHLIST, live_table
from tapedeck.views.relay_client import TAG, RelayClient, build_module, modules, target_tag
from tests.fake_relay import FIELDS, PHASES, RECORD, STATES, FakeDesk, make_instruments

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")


def javascript_list(name: str) -> list[str]:
    """A list of strings as the client's source has it."""
    found = re.search(rf"const {name} = \[(.*?)\]", build_module(), re.DOTALL)
    assert found, f"{name} was not found"
    return re.findall(r'"(\w+)"', found[1])


def test_the_client_reads_the_wire_as_the_relay_writes_it() -> None:
    assert javascript_list("FIELDS") == list(frames.FIELDS) == list(FIELDS)
    assert javascript_list("STATES") == list(feed.STATES) == list(STATES)
    assert javascript_list("PHASES") == list(sessions.PHASES) == list(PHASES)
    assert frames.RECORD == RECORD
    source = build_module()
    assert f"const HEADER_SIZE = {frames.HEADER.itemsize}\n" in source
    assert f"const VERSION = {frames.VERSION}\n" in source
    assert f"const MAGIC = 0x{int.from_bytes(frames.MAGIC, 'little'):08x} " in source


def test_the_client_is_one_module_that_exports_only_render() -> None:
    source = build_module()
    assert re.findall(r"^export .*", source, re.MULTILINE) == ["export function render({model, view}) {"]
    assert "import " not in re.sub(r"//.*", "", source)
    assert len(re.findall(r"^const \w+_js = ", source, re.MULTILINE)) == len(modules()) - 1


def test_every_module_is_used_and_comes_after_those_it_imports() -> None:
    folder = Path(tapedeck.views.__file__).parent / "js"
    assert sorted(modules()) == sorted(path.stem for path in folder.glob("*.js"))
    for place, name in enumerate(modules()):
        source = (folder / f"{name}.js").read_text(encoding="utf-8")
        imported = re.findall(r'^import .* from "\./(\w+)\.js"$', source, re.MULTILINE)
        assert set(imported) <= set(modules()[:place]), name


def test_nothing_of_the_page_comes_from_elsewhere() -> None:
    written = build_module() + style.TABLE_CSS + style.BAR_CSS + style.RELAY_CSS
    assert not re.search(r"https?://|@import|url\(", written)


def test_every_column_of_the_watchlist_is_in_the_stream_or_computed_from_it() -> None:
    computed = {
        "symbol",
        "name",
        "change",
        "percent",
        "day_line",
        "day_range",
        "spread",
        "value",
        "oi_change",
        "oi_percent",
    }
    assert {column.field for column in WATCHLIST} - computed <= set(frames.FIELDS)
    kinds = {"text", "price", "change", "percent", "quantity", "age", "spark", "range", "signed", "growth", "crore"}
    assert {column.kind for column in WATCHLIST} == kinds


def test_always_shown_columns_fit_a_narrow_screen_beside_its_scroll_bar() -> None:
    assert sum(column.width for column in WATCHLIST if not column.shown_from) <= 768 - 16
    for start in {column.shown_from for column in WATCHLIST} - {0, -1}:
        assert sum(column.width for column in WATCHLIST if 0 <= column.shown_from <= start) <= start - 16


def test_a_table_has_one_empty_row_per_instrument() -> None:
    instruments = make_instruments(5)
    table = live_table(instruments)
    assert list(table.value["key"]) == [instrument.key for instrument in instruments]
    assert list(table.value.columns) == ["key", "search", "symbol", "name"], "numbers live in the browser"
    tag = next(tag for tag in table.tags if tag.startswith(TAG))
    spec = json.loads(tag[len(TAG) :])
    assert spec["kind"] == "table"
    assert [column["field"] for column in spec["columns"]] == [column.field for column in WATCHLIST]


def test_a_tag_names_its_kind() -> None:
    assert json.loads(target_tag("bar")[len(TAG) :]) == {"kind": "bar"}


def test_a_page_knows_the_workspace_and_the_tape() -> None:
    desk = FakeDesk(make_instruments(3))
    client = relay_client(desk)
    assert client.tape == list(TAPE)
    assert client.workspace["lists"] == [{"name": "Watchlist", "keys": ["NSE:INFY", "NSE:TCS", "NSE:RELIANCE"]}]
    assert (client.source, client.simulated, client.url) == ("sim:7:2026-11-23", True, "api/stream")


def test_every_page_is_a_plain_function_of_no_arguments_with_one_client() -> None:
    # Panel would show the repr of a functools.partial.
    pages = app.build(FakeDesk(make_instruments(3)))
    assert list(pages) == list(app.PAGES)
    for make in pages.values():
        assert type(make).__name__ == "function"
        assert len(make().select(RelayClient)) == 1


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("name", ["text", "muted", "faint", "up", "down", "accent", "warning"])
def test_every_text_colour_can_be_read_on_its_background(scheme: str, name: str) -> None:
    tokens = style.TOKENS[scheme]
    # A selected row has neither links nor status texts.
    grounds = ("background", "panel", "hover") + (() if name in ("accent", "faint") else ("selected",))
    for ground in grounds:
        assert contrast(tokens[name], tokens[ground]) >= 4.5, ground


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
