"""What feeds the day chart, step by step in the browser's own code: the day so far, the forming step, the gaps."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

START = 1_795_405_500_000  # 2026-11-23 09:15 IST
MINUTE = 60_000
IST = 19_800_000

#: Plays a script of [what, value] against one Source; gives its y column after every "look", and what it asked.
PLAY = """async ([spec, script]) => {
  const {Source} = await import("http://js.test/source.js")
  const {F, FIELDS} = await import("http://js.test/wire.js")
  const asked = [], seen = [], waiting = []
  const model = {
    data: {x: [], y: []}, options: [],
    setv(change, options) { Object.assign(this, change); this.options.push(options) },
    patch(change, options) {
      for (const [name, list] of Object.entries(change)) for (const [i, v] of list) this.data[name][i] = v
      this.options.push(options)
    },
    stream(more, rollover, options) {
      for (const name of Object.keys(more)) this.data[name] = [...this.data[name], ...more[name]]
      this.options.push(options)
    },
  }
  const row = {token: 257, flags: 3, tick: 0.05, values: new Float64Array(FIELDS.length).fill(NaN)}
  const page = {
    selected: "", mode: "live", time: 1000, marketMs: 0, verdict: {dead: false},
    now() { return this.time }, draw() { source.draw(page) },
    market: {epoch: 1, byKey: new Map(), view: () => ({mode: page.mode}), marketNow: () => page.marketMs},
    ask(path) { asked.push(path); return new Promise((resolve, reject) => waiting.push({resolve, reject})) },
  }
  const source = new Source(null, spec, page, model)
  for (const [what, value] of script) {
    if (what === "select") { page.selected = value; page.market.byKey = new Map([[value, row], [spec.key, row]]) }
    else if (what === "price") row.values[F.last_price] = value
    else if (what === "field") row.values[F[value[0]]] = value[1]
    else if (what === "at") page.marketMs = value
    else if (what === "mode") page.mode = value
    else if (what === "dead") page.verdict.dead = value
    else if (what === "pass") page.time += value * 1000
    else if (what === "epoch") page.market.epoch = value
    else if (what === "forget") source.heard("forget")
    else if (what === "draw") source.draw(page)
    else if (what === "answer") waiting.shift().resolve(value)
    else if (what === "fail") waiting.shift().reject(new Error("no"))
    else if (what === "look") seen.push(model.data[source.spec.y].map((v) => (Number.isNaN(v) ? null : v)))
    else if (what === "times") seen.push([...model.data[source.spec.x]])
    else if (what === "empty") seen.push(source.empty)
    await 0; await 0; await 0; await 0
  }
  return {seen, asked, quiet: model.options.every((one) => one?.sync === false)}
}"""


def minute(n: float) -> float:
    return START + n * MINUTE


def answer(*prices: float | None, key: str = "NSE:INFY", waiting: int = 0, **day: Any) -> list[Any]:
    said = {"start_ms": START, "end_ms": START + 375 * MINUTE, "prices": list(prices)} | day
    return ["answer", {"epoch": 1, "step_s": 60, "waiting": waiting, "days": {key: said}}]


#: The instrument is selected and live at 09:18:30, its day so far is known.
BEGIN: list[list[Any]] = [
    ["select", "NSE:INFY"], ["price", 104.0], ["at", minute(3.5)], ["draw", None], answer(101, 102, 103, 103.5),
]  # fmt: skip


@pytest.fixture
def play(javascript: Any) -> Any:
    def run(*script: list[Any], **spec: Any) -> dict[str, Any]:
        played = javascript.evaluate(PLAY, [spec, [*script]])
        assert played["quiet"], "something was written that Bokeh would send to Python"
        return played

    return run


def test_the_day_so_far_is_asked_once_and_the_forming_step_follows_the_live_price(play: Any) -> None:
    played = play(*BEGIN, ["look", None], ["pass", 1], ["price", 104.5], ["draw", None], ["look", None])
    assert played["seen"] == [[101, 102, 103, 104], [101, 102, 103, 104.5]]
    assert played["asked"] == ["api/day?i=NSE%3AINFY&step=60"]


def test_times_read_as_indian_time_on_an_axis_that_knows_no_zones(play: Any) -> None:
    [times] = play(*BEGIN, ["times", None])["seen"]
    assert times == [minute(n) + IST for n in range(4)]
    assert times[0] % 86_400_000 == (9 * 60 + 15) * MINUTE


def test_a_new_minute_is_a_new_step(play: Any) -> None:
    played = play(*BEGIN, ["at", minute(4.01)], ["price", 105.0], ["draw", None], ["look", None])
    assert played["seen"] == [[101, 102, 103, 104, 105]]


def test_steps_that_were_not_seen_stay_a_gap_and_the_desk_is_asked_for_them(play: Any) -> None:
    away = [["at", minute(7.2)], ["price", 107.0], ["draw", None], ["look", None], ["draw", None]]
    played = play(*BEGIN, *away, answer(101, 102, 103, 104, None, 105.5, None, 106.5), ["look", None])
    assert played["seen"] == [[101, 102, 103, 104, None, None, None, 107], [101, 102, 103, 104, None, 105.5, None, 107]]
    assert len(played["asked"]) == 2


def test_a_gap_in_the_answer_stays_one_and_is_asked_for_again(play: Any) -> None:
    start = [["select", "NSE:INFY"], ["price", 104.0], ["at", minute(3.5)], ["draw", None]]
    gap = [answer(101, None, None, 103.5), ["look", None], ["pass", 14], ["draw", None], ["pass", 2], ["draw", None]]
    played = play(*start, *gap, answer(101, 101.5, None, 103.5), ["look", None])
    assert played["seen"] == [[101, None, None, 104], [101, 101.5, None, 104]]
    assert len(played["asked"]) == 2


def test_while_the_desk_still_fetches_it_is_asked_again_soon(play: Any) -> None:
    start = [["select", "NSE:INFY"], ["price", 104.0], ["at", minute(3.5)], ["draw", None]]
    soon = [["pass", 2], ["draw", None], ["pass", 1.5], ["draw", None]]
    played = play(
        *start, answer(None, None, None, 103.5, waiting=40), *soon, answer(101, 102, 103, 103.5), ["look", None]
    )
    assert played["seen"] == [[101, 102, 103, 104]]
    assert len(played["asked"]) == 2


def test_no_price_is_taken_while_it_is_not_live(play: Any) -> None:
    for mode in ("blank", "closed", "loading"):
        script = [["mode", mode], ["pass", 60], ["at", minute(4.5)], ["price", 110.0], ["draw", None], ["look", None]]
        assert play(*BEGIN, *script)["seen"] == [[101, 102, 103, 104]]


def test_a_price_of_an_earlier_day_is_not_of_this_one(play: Any) -> None:
    old = [["field", ["last_trade_time_ms", minute(-4000)]], ["field", ["exchange_timestamp_ms", minute(3)]]]
    start = [["select", "NSE:INFY"], ["price", 99.0], ["at", minute(1.5)], ["draw", None], answer(None, None)]
    assert play(*old, *start, ["draw", None], ["look", None], ["empty", None])["seen"] == [[None, None], True]


def test_another_instrument_empties_the_line_at_once_and_a_late_answer_is_not_taken_for_its_own(play: Any) -> None:
    change = [["select", "NSE:TCS"], ["price", 3000.0], ["draw", None], ["look", None], ["empty", None]]
    played = play(*BEGIN, *change, answer(2990, 2995, 2998, 2999, key="NSE:TCS"), ["look", None])
    assert played["seen"] == [[], True, [2990, 2995, 2998, 3000]]
    early = [["select", "NSE:INFY"], ["at", minute(3.5)], ["draw", None], ["select", "NSE:TCS"], ["draw", None]]
    played = play(*early, answer(101, 102, 103, 103.5), ["look", None])
    assert played["seen"] == [[]]


def test_a_desk_that_started_anew_empties_the_line(play: Any) -> None:
    anew = [["epoch", 2], ["forget", None], ["look", None], ["draw", None]]
    played = play(*BEGIN, *anew, answer(1, 2, 3, 4), ["look", None])
    assert played["seen"] == [[], [1, 2, 3, 104]]


def test_an_answer_of_an_earlier_epoch_is_dropped(play: Any) -> None:
    start = [["select", "NSE:INFY"], ["price", 104.0], ["at", minute(3.5)], ["draw", None], ["epoch", 2]]
    assert play(*start, answer(101, 102, 103, 103.5), ["look", None])["seen"] == [[]]


def test_market_time_that_went_back_to_another_day_starts_over(play: Any) -> None:
    back = [["at", minute(-1)], ["draw", None], ["look", None], ["at", minute(1)], ["draw", None], ["look", None]]
    played = play(*BEGIN, *back, ["pass", 6], ["draw", None])
    assert played["seen"] == [[101, 102, 103, 104], []]
    assert len(played["asked"]) == 2


def test_a_failure_is_tried_again_and_a_dead_desk_is_left_alone(play: Any) -> None:
    start = [["select", "NSE:INFY"], ["price", 104.0], ["at", minute(3.5)], ["draw", None], ["fail", None]]
    assert len(play(*start, ["pass", 4], ["draw", None])["asked"]) == 1
    assert len(play(*start, ["dead", True], ["pass", 6], ["draw", None])["asked"]) == 1
    assert len(play(*start, ["pass", 6], ["draw", None])["asked"]) == 2


def test_an_instrument_that_is_not_in_todays_list_has_no_day_to_ask_for(play: Any) -> None:
    assert play(["select", "NSE:TCS"], ["draw", None], key="NSE:GONE")["asked"] == ["api/day?i=NSE%3AGONE&step=60"]
    assert play(["draw", None], key="NSE:GONE")["asked"] == []


def test_a_source_of_one_instrument_does_not_follow_the_selection(play: Any) -> None:
    script = [["select", "NSE:TCS"], ["price", 1.0], ["at", minute(0.5)], ["draw", None]]
    played = play(*script, key="NSE:INFY", step=300, y="close")
    assert played["asked"] == ["api/day?i=NSE%3AINFY&step=300"]


def test_the_forming_step_is_not_written_faster_than_its_pace(play: Any) -> None:
    soon = [["pass", 0.5], ["price", 105.0], ["draw", None], ["look", None]]
    played = play(*BEGIN, *soon, ["pass", 0.6], ["draw", None], ["look", None], pace=1000)
    assert [seen[-1] for seen in played["seen"]] == [104, 105]


# -- scales ---------------------------------------------------------------------------------------------------------


def test_bars_of_the_book_have_a_round_scale_that_only_large_changes_move(javascript: Any) -> None:
    scales = javascript.evaluate(
        """async (largest) => {
          const {rescale} = await import("http://js.test/ladder.js")
          let scale = 0
          return largest.map((one) => (scale = rescale(scale, one)))
        }""",
        [340, 390, 260, 201, 199, 149, 21_000, 16_000, 0, 7],
    )
    assert scales == [500, 500, 500, 500, 500, 200, 50_000, 50_000, 0, 10]


def test_the_spread_is_in_rupees_and_basis_points_of_the_middle(javascript: Any) -> None:
    spread = javascript.evaluate(
        """async () => (await import("http://js.test/ladder.js")).spreadOf(99.95, 100.05)""",
    )
    assert spread == {"spread": pytest.approx(0.10), "mid": 100, "bps": pytest.approx(10)}


def test_without_a_previous_close_the_chart_has_no_line_for_it(javascript: Any) -> None:
    script = """async () => {
      const {DayChart} = await import("http://js.test/daychart.js")
      const chart = new DayChart({}, "id"), set = []
      const part = {setv: (change) => set.push(change)}
      chart.made = {hours: {ticker: part}, close: part}
      const source = {day: {start_ms: 0, end_ms: 1000}, times: [0], prices: [5]}
      chart.fit({x_range: part, y_range: part}, source, undefined)
      return Number.isNaN(set.at(-1).location)
    }"""
    assert javascript.evaluate(script), "Bokeh refuses undefined"


def test_the_charts_scale_stays_while_the_line_fits(javascript: Any) -> None:
    scales = javascript.evaluate(
        """async (steps) => {
          const {priceScale} = await import("http://js.test/daychart.js")
          let scale = null
          return steps.map((values) => (scale = priceScale(values.map((v) => v ?? NaN), scale)))
        }""",
        [[100, 110], [100, None, 110.5], [100, 112], [None], [104, 105]],
    )
    assert scales == [[99, 111], [99, 111], [98.8, 113.2], [98.8, 113.2], [103.9, 105.1]]
