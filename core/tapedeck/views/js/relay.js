// The one live component of a page: takes the stream in and hands its numbers to their targets.
//
// Targets are Bokeh models with a tag "tapedeck:{json}": tables (kind "table") and bars of plain elements
// (kind "bar"). They are looked up again whenever the document has grown or a view was made anew.

import {Market} from "./market.js"
import {Stream} from "./stream.js"
import {Table} from "./table.js"
import {drawBar} from "./bars.js"
import {helpSheet, onKey} from "./keys.js"

const TAG = "tapedeck:"
const DRAW_MS = 250
const THEME_KEY = "tapedeck.theme"

// performance.now() that does not stand still while the machine sleeps: the wall clock shows the sleep.
function wakefulClock() {
  let perf = performance.now()
  let wall = Date.now()
  let slept = 0
  return () => {
    const p = performance.now()
    const w = Date.now()
    const missing = w - wall - (p - perf)
    if (missing > 2000) slept += missing
    perf = p
    wall = w
    return p + slept
  }
}

class Page {
  constructor(model, view) {
    this.model = model
    this.view = view
    this.now = wakefulClock()
    this.market = new Market(this.now())
    this.market.source = model.source
    this.market.simulated = model.simulated
    this.targets = new Map()
    this.applied = 0
    this.frames = 0
    this.snapshots = 0
    this.sessionLost = false
    this.message = ""
    this.sheet = helpSheet()
    const url = new URL(model.url, document.baseURI)
    url.protocol = url.protocol.replace("http", "ws")
    this.stream = new Stream(url.href, {
      keys: model.keys, rate: model.rate,
      on: {open: () => this.opened(), text: (t) => this.text(t), frame: (b) => this.frame(b), gone: () => this.gone()},
    })
  }

  start() {
    this.listeners = [
      [document, "visibilitychange", () => this.visibility()],
      [window, "pageshow", () => this.visibility()],
      [document, "keydown", onKey(this)],
    ]
    for (const [target, name, handler] of this.listeners) target.addEventListener(name, handler)
    this.timer = setInterval(() => this.draw(), DRAW_MS)
    this.view.model.document.on_event("connection_lost", () => { this.sessionLost = true; this.draw() })
    this.rememberTheme()
    if (document.visibilityState === "hidden") this.stream.paused = true
    this.stream.open()
    this.draw()
  }

  stop() {
    clearInterval(this.timer)
    for (const [target, name, handler] of this.listeners) target.removeEventListener(name, handler)
    this.stream.close()
  }

  opened() {
    this.market.connected = true
    this.draw()
  }

  gone() {
    this.market.connected = false
    this.market.gap(this.now())
    this.draw()
  }

  text(text) {
    const message = JSON.parse(text)
    if (message.type === "welcome") this.market.welcome(message)
    else if (message.type === "state") this.market.state(message, this.now())
    else if (message.type === "error") this.message = message.message
    this.draw()
  }

  frame(buffer) {
    const result = this.market.frame(buffer, this.now())
    if (!result) return this.draw()
    this.frames += 1
    if (result.snapshot) this.snapshots += 1
    if (result.lost) this.stream.send({a: "snapshot"})
    this.applied += result.changed.length
    this.draw()
  }

  // A hidden page rests; what it shows ages from the first moment it may miss something.
  visibility() {
    if (document.visibilityState === "hidden") {
      this.market.gap(this.now())
      this.stream.pause()
    } else if (this.stream.paused) {
      this.stream.resume()
    }
    this.draw()
  }

  draw() {
    const now = this.now()
    this.stream.watch(performance.now())
    this.findTargets()
    const verdict = this.market.verdict(now)
    this.verdict = verdict
    const tables = this.tables()
    for (const table of tables) table.draw(this.market, verdict, now)
    if (tables.some((table) => table.tabulator)) document.getElementById("skeleton")?.remove()
    const extra = {sessionLost: this.sessionLost, orderPaused: tables.some((table) => table.orderPaused)}
    for (const target of this.targets.values()) {
      if (target.kind === "bar") drawBar(target.view.shadow_el, this.market, verdict, now, extra)
    }
    for (const target of this.targets.values()) if (target.kind === "bar") this.wire(target.view.shadow_el)
  }

  findTargets() {
    const models = this.view.model.document.all_models
    for (const model of models) {
      const tag = model.tags?.find((t) => typeof t === "string" && t.startsWith(TAG))
      if (!tag) continue
      const view = Bokeh.index.find_one_by_id(model.id)
      const known = this.targets.get(model.id)
      if (!view || known?.view === view) continue
      const spec = JSON.parse(tag.slice(TAG.length))
      this.targets.set(model.id, {kind: spec.kind, view, table: spec.kind === "table" ? new Table(view, spec) : null})
    }
  }

  tables() {
    return [...this.targets.values()].filter((target) => target.table).map((target) => target.table)
  }

  bar(selector) {
    for (const target of this.targets.values()) {
      const found = target.kind === "bar" && target.view.shadow_el.querySelector(selector)
      if (found) return found
    }
    return null
  }

  filterBox() {
    return this.bar("input[data-td-filter]")
  }

  // Listeners of the bars' few controls; elements made anew get theirs again.
  wire(root) {
    for (const element of root.querySelectorAll("[data-td-filter], [data-td-reload], [data-td-help]")) {
      if (element.tapedeckWired) continue
      element.tapedeckWired = true
      if ("tdFilter" in element.dataset) {
        element.addEventListener("input", () => this.tables().forEach((table) => table.filter(element.value)))
      }
      if ("tdReload" in element.dataset) element.addEventListener("click", () => location.reload())
      if ("tdHelp" in element.dataset) element.addEventListener("click", () => this.sheet.showModal())
    }
  }

  // The page's own toggle switches the theme; this only remembers the choice.
  rememberTheme() {
    const data = this.view.root.model.data
    if (data?.dark_theme === undefined) return
    try {
      const saved = localStorage.getItem(THEME_KEY)
      if (saved) data.dark_theme = saved === "dark"
      data.properties.dark_theme.change.connect(() => {
        localStorage.setItem(THEME_KEY, data.dark_theme ? "dark" : "light")
      })
    } catch {
      // Storage may be forbidden; the theme then lasts as long as the page.
    }
  }

  // What tests and the curious may read.
  probe() {
    const page = this
    return {
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
      text: (name) => page.bar(`[data-td="${name}"]`)?.textContent,
    }
  }
}

export function render({model, view}) {
  view.tapedeckPage?.stop()
  const page = new Page(model, view)
  view.tapedeckPage = page
  window.__tapedeck = page.probe()
  model.on("remove", () => page.stop())
  model.on("after_render", () => page.start())
  return page.sheet
}
