"""What the page does when the desk restarts, refuses, is slow or belongs to somebody faster; module by module."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

WORKSPACE = """async (script) => {
  const {Workspace} = await import("http://js.test/workspace.js")
  const wait = (ms) => new Promise((done) => setTimeout(done, ms))
  const first = {version: 1, revision: 3, lists: [{name: "L", keys: ["a"]}], density: "normal"}
  const server = {document: first, puts: 0, slow: 0}
  const ask = async (path, {method = "GET", body} = {}) => {
    const seen = structuredClone(server.document)
    await wait(method === "GET" ? server.slowGet ?? 0 : server.slow)
    if (method === "GET") return seen
    server.puts += 1
    if (body.columns && !body.columns.length) throw Object.assign(new Error("columns was a list of 0"), {status: 400})
    if (body.revision !== server.document.revision) {
      throw Object.assign(new Error("conflict"), {status: 409, body: {workspace: structuredClone(server.document)}})
    }
    server.document = {...structuredClone(body), revision: body.revision + 1}
    return structuredClone(server.document)
  }
  const told = []
  const workspace = new Workspace(server.document, ask, (text) => told.push(text))
  workspace.told = told
  const keys = () => server.document.lists[0].keys.join()
  const until = async (true_) => { for (let i = 0; i < 400 && !true_(); i++) await wait(10) }
  return await (new Function("workspace", "server", "wait", "keys", "until", `return (async () => {${script}})()`))(
    workspace, server, wait, keys, until)
}"""


def test_an_edit_made_during_a_slow_save_is_saved_after_it(javascript: Page) -> None:
    script = """
      server.slow = 300
      workspace.changeList("L", ["a", "b"])
      await until(() => workspace.saving)
      workspace.changeList("L", ["a", "b", "c"])
      await until(() => keys() === "a,b,c")
      return [keys(), [...workspace.dirty]]"""
    assert javascript.evaluate(WORKSPACE, script) == ["a,b,c", []]


def test_an_answer_that_is_older_than_a_save_is_not_taken(javascript: Page) -> None:
    script = """
      server.document.revision = 5
      server.slowGet = 700
      const following = workspace.follow(5)
      workspace.changeList("L", ["a", "mine"])
      await until(() => keys() === "a,mine")
      await following
      return [workspace.lists[0].keys.join(), keys()]"""
    assert javascript.evaluate(WORKSPACE, script) == ["a,mine", "a,mine"]


def test_another_tabs_fields_are_kept_and_ours_put_on_top(javascript: Page) -> None:
    script = """
      server.document = {...server.document, revision: 9, density: "compact"}
      workspace.changeList("L", ["x"])
      await until(() => keys() === "x")
      return [server.document.density, workspace.document.density, keys()]"""
    assert javascript.evaluate(WORKSPACE, script) == ["compact", "compact", "x"]


def test_a_field_that_is_refused_holds_up_no_other_and_is_tried_again_when_it_changes(javascript: Page) -> None:
    script = """
      workspace.change({columns: []})
      workspace.changeList("L", ["a", "b"])
      await until(() => keys() === "a,b" && !workspace.saving)
      const said = workspace.told.at(-1)
      workspace.change({density: "compact"})
      await until(() => server.document.density === "compact" && !workspace.saving)
      server.document = {...server.document, revision: 20, theme: "light"}
      await workspace.follow(20)
      const kept = [workspace.document.theme, workspace.document.columns]
      workspace.change({columns: ["bid"]})
      await until(() => server.document.columns && !workspace.saving)
      return [said, workspace.told[1], kept, server.document.columns, workspace.told.at(-1), workspace.dirty.size]"""
    said = "not saved: columns was a list of 0"
    assert javascript.evaluate(WORKSPACE, script) == [said, said, ["light", []], ["bid"], "", 0]


MERGE = """async ([before, mine, theirs]) => {
  const {mergeLists} = await import("http://js.test/workspace.js")
  const lists = (text) => text.split(" ").filter(Boolean).map((one) => ({name: one[0], keys: [...one.slice(1)]}))
  return mergeLists(lists(before), lists(mine), lists(theirs)).map((one) => one.name + one.keys.join("")).join(" ")
}"""


@pytest.mark.parametrize(
    ("before", "mine", "theirs", "merged"),
    [
        ("A1 B1", "A12 B1", "A1 B13", "A12 B13"),
        ("A1", "A1 Mx", "A1 Ty", "A1 Ty Mx"),
        ("A1 B1", "A1", "A1 B1 C1", "A1 C1"),
        ("A1 B1", "A1", "A1 B12", "A1 B12"),
        ("A1 B1", "A1 B12", "A1", "A1 B12"),
        ("A1", "A12", "A13", "A12"),
        ("A1 B1", "B1 A1", "A1 B1", "A1 B1"),
    ],
)
def test_lists_of_two_windows_are_put_together(
    javascript: Page, before: str, mine: str, theirs: str, merged: str
) -> None:
    assert javascript.evaluate(MERGE, [before, mine, theirs]) == merged


STREAM = """async (script) => {
  const sent = []
  const {Stream} = await import("http://js.test/stream.js")
  const on = {open() {}, text() {}, frame() {}, gone() {}}
  const stream = new Stream("ws://nowhere", {keys: ["NSE:A"], rate: 4, on})
  stream.socket = {readyState: WebSocket.OPEN, send: (text) => sent.push(JSON.parse(text)), close() {}}
  const wait = (ms) => new Promise((done) => setTimeout(done, ms))
  const until = async (true_) => { for (let i = 0; i < 400 && !true_(); i++) await wait(10) }
  return await (new Function("stream", "sent", "until", `return (async () => {${script}})()`))(stream, sent, until)
}"""


def test_a_wish_that_was_refused_is_said_again(javascript: Page) -> None:
    script = """
      stream.hello()
      stream.wish("topics", ["overview"])
      sent.length = 0
      stream.refused()
      await until(() => sent.length >= 2)
      stream.close()
      return sent.map((one) => one.a)"""
    assert javascript.evaluate(STREAM, script) == ["hello", "topics"]


def test_many_quick_changes_end_in_the_last_one_with_few_messages(javascript: Page) -> None:
    script = """
      stream.hello()
      sent.length = 0
      for (let i = 0; i < 50; i++) stream.setKeys([`NSE:K${i}`])
      await until(() => sent.some((one) => one.v[0] === "NSE:K49"))
      stream.close()
      return [sent.length <= 3, sent.at(-1).v]"""
    assert javascript.evaluate(STREAM, script) == [True, ["NSE:K49"]]


MARKET = """async () => {
  const {Market, numbers} = await import("http://js.test/market.js")
  const market = new Market(0)
  const instrument = (key) => ({key, instrument_token: 257, tick_size: 0.05, name: "", segment: "NSE"})
  const welcome = (run, key) => ({run, epoch: 1, source: "kite", simulated: false, instruments: [instrument(key)]})
  market.welcome(welcome("one", "NSE:A"))
  market.rows.get(257).values = new Float64Array(19).fill(100)
  market.sequence = 50
  const known = () => market.rows.get(257)?.values?.[0] ?? null
  const seen = [known()]
  market.welcome(welcome("one", "NSE:A"))
  seen.push(known())
  market.welcome(welcome("one", "NSE:OTHER"))
  seen.push(known())
  market.rows.get(257).values = new Float64Array(19).fill(100)
  market.welcome(welcome("two", "NSE:OTHER"))
  seen.push(known(), market.sequence, market.byKey.has("NSE:OTHER"))
  market.refusal = "no room"
  seen.push(market.view("NSE:ELSE", {state: "live", dead: false}).reason)
  return seen
}"""


def test_nothing_of_another_run_or_contract_is_kept(javascript: Page) -> None:
    assert javascript.evaluate(MARKET) == [100, 100, None, None, -1, True, "no room"]


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("\r=1", "'\r=1"),
        ("-12.5", "-12.5"),
        ("M&M", "M&M"),
        ("@SUM", "'@SUM"),
    ],
)
def test_no_cell_is_a_formula(javascript: Page, cell: str, safe: str) -> None:
    found = javascript.evaluate("async (cell) => (await import('http://js.test/selection.js')).plainCell(cell)", cell)
    assert found == safe
