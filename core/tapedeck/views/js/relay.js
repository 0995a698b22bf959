// The one live component of a page: builds the page and ends it with its view.

import {Page} from "./page.js"
import {Table} from "./table.js"
import {Bars} from "./bars.js"
import {Lists} from "./lists.js"
import {Grid} from "./grid.js"
import {Overview} from "./overview.js"
import {Detail} from "./detail.js"
import {Search} from "./search.js"
import {Source} from "./source.js"
import {System} from "./system.js"
import {Part} from "./tiles.js"
import {Shell} from "./shell.js"
import {onKey} from "./keys.js"

// Kind of a target's tag -> the class that draws it.
const KINDS = {
  table: Table, bar: Bars, lists: Lists, grid: Grid, overview: Overview, detail: Detail, search: Search, source: Source,
  system: System, part: Part,
}

// What tests and the curious may read.
function probeOf(page) {
  return {
    page,
    get frames() { return page.frames },
    get snapshots() { return page.snapshots },
    get sequence() { return page.market.sequence },
    get epoch() { return page.market.epoch },
    get applied() { return page.applied },
    get reconnects() { return Math.max(0, page.stream.connects - 1) },
    get state() { return page.market.verdict(page.now()).state },
    get reason() { return page.market.verdict(page.now()).reason },
    get age() { return page.market.verdict(page.now()).age },
    get paused() { return page.stream.paused },
    get connected() { return page.market.connected },
    get source() { return page.market.source },
    get refused() { return page.market.refused },
    get message() { return page.message },
    get rows() { return page.tables().reduce((sum, table) => sum + table.entries.length, 0) },
    get sessionLost() { return page.sessionLost },
    get tables() { return page.tables() },
    text: (name) => page.find(`[data-td="${name}"]`)?.textContent,
  }
}

export function render({model, view}) {
  view.tapedeckPage?.stop()
  const page = new Page(model, view, KINDS)
  const shell = new Shell(page)
  page.shell = shell
  view.tapedeckPage = page
  window.__tapedeck = probeOf(page)
  model.on("remove", () => page.stop())
  model.on("after_render", () => {
    shell.start()
    page.start([[document, "keydown", onKey(page)]])
  })
  return shell.element
}
