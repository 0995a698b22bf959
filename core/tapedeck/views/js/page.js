// The page: takes the stream in, keeps what the viewer looks at, and lets every target draw itself.
//
// Targets are Bokeh models with a tag "tapedeck:{json}"; its `kind` names the class that draws it. They are looked
// up again whenever the document has grown or a view was made anew. State: market (what is known), ui (what is
// looked at), workspace (what is saved), stream (the connection), targets by model id, the newest overview and
// books.

import {Market} from "./market.js"
import {Stream} from "./stream.js"
import {Ui} from "./ui.js"
import {Workspace} from "./workspace.js"
import {Lines} from "./lines.js"
import {yyyymmddOf} from "./format.js"

const TAG = "tapedeck:"
// Without a message ages grow all the same. Longer than the pause between two frames: else each would be drawn twice.
const IDLE_MS = 350
const LOOK_MS = 500
const ASK_MS = 8000

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

// A button that was clicked with the pointer keeps no focus: arrows and Delete belong to the rows again. Whoever
// pressed it with a key stays where they are.
function letGo(event) {
  const button = event.composedPath().find((node) => node instanceof HTMLButtonElement)
  if (event.detail > 0 && button && !button.closest("dialog, [popover], [role=tablist]")) button.blur()
}

// A pane that was rendered anew has other elements than its part knows.
const isSame = ({kind, view, content}) => kind === "table" || view?.shadow_el?.lastElementChild === content
const isCurrent = (target) => !target.view || (target.view.el.isConnected && isSame(target))

// What the tag of a model says, null where it is no target.
function specOf(model) {
  const tag = model.tags?.find((t) => typeof t === "string" && t.startsWith(TAG))
  return tag ? JSON.parse(tag.slice(TAG.length)) : null
}

export class Page {
  // `kinds`: class by kind of target, each with `draw(page)` and, if it needs it, `heard(type, message)`.
  constructor(model, view, kinds) {
    this.model = model
    this.view = view
    this.kinds = kinds
    this.now = wakefulClock()
    this.market = new Market(this.now())
    this.market.source = model.source
    this.market.simulated = model.simulated
    this.targets = new Map()
    this.depths = new Map()
    this.lines = new Lines(this)
    this.marketNow = NaN
    this.overview = null
    this.due = null
    this.stopped = false
    this.drawnAt = -Infinity
    this.lookedAt = -Infinity
    this.applied = 0
    this.frames = 0
    this.snapshots = 0
    this.failures = 0
    this.day = undefined
    this.sessionLost = false
    this.role = undefined
    this.loginWatch = null
    this.message = ""
    this.saveProblem = ""
    this.base = new URL(model.url.replace(/api\/stream$/, ""), document.baseURI)
    this.ui = new Ui(location.href)
    this.workspace = new Workspace(model.workspace, (path, options) => this.ask(path, options), (problem) => {
      this.saveProblem = problem
      this.soon()
    })
    this.ui.on(() => { this.subscribe(); this.draw() })
    this.workspace.on(() => { this.subscribe(); this.draw() })
    const url = new URL(model.url, document.baseURI)
    url.protocol = url.protocol.replace("http", "ws")
    this.stream = new Stream(url.href, {
      keys: this.keys(), rate: model.rate,
      on: {open: () => this.opened(), text: (t) => this.text(t), frame: (b) => this.frame(b), gone: () => this.gone()},
    })
  }

  start(listeners) {
    this.listeners = [
      [document, "visibilitychange", () => this.visibility()],
      [window, "pageshow", () => this.visibility()],
      [document, "click", letGo],
      [window, "pagehide", () => { this.ui.write(); this.workspace.stop() }],
      ...listeners,
    ]
    for (const [target, name, handler] of this.listeners) target.addEventListener(name, handler)
    this.view.model.document.on_event("connection_lost", () => { this.sessionLost = true; this.draw() })
    if (document.visibilityState === "hidden") this.stream.paused = true
    this.stream.open()
    this.draw()
  }

  stop() {
    this.stopped = true
    clearTimeout(this.timer)
    clearInterval(this.loginWatch)
    cancelAnimationFrame(this.due)
    for (const [target, name, handler] of this.listeners ?? []) target.removeEventListener(name, handler)
    for (const target of this.targets.values()) target.part.stop?.()
    this.stream.close()
    this.ui.stop()
    this.workspace.stop()
  }

  // -- what is subscribed -------------------------------------------------------------------------------------

  // The list this page shows; the first one when the address names none or one that is gone.
  get list() {
    return this.workspace.list(this.ui.get("list")) ?? {name: "", keys: []}
  }

  get selected() {
    return this.ui.get("selected")
  }

  // A page about the desk itself shows no instruments but those of the tape.
  get aside() {
    this.isAside ??= [...this.view.model.document.all_models].some((model) => this.kinds[specOf(model)?.kind]?.aside)
    return this.isAside
  }

  keys() {
    if (this.aside) return [...this.model.tape]
    const selected = this.selected.includes(":") ? [this.selected] : []
    return [...new Set([...this.model.tape, ...this.list.keys, ...selected])]
  }

  subscribe() {
    this.stream.setKeys(this.keys())
  }

  // Make this instrument the one that every tile of the page is about; where there is none, on the Market page.
  select(key) {
    if (this.aside) this.go(`./?${new URLSearchParams({i: key})}`)
    else this.ui.set({selected: key})
  }

  // Another page of the desk.
  go(path) {
    location.assign(new URL(path, this.base))
  }

  // -- what comes in ------------------------------------------------------------------------------------------

  opened() {
    this.market.connected = true
    this.market.loggedOut = false
    this.workspace.save()
    this.soon()
  }

  gone() {
    this.market.connected = false
    this.market.loggedOut = this.stream.loggedOut
    this.market.gap(this.now())
    this.soon()
  }

  text(text) {
    const message = JSON.parse(text)
    if (message.type === "welcome") this.welcome(message)
    else if (message.type === "state") this.state(message)
    else if (message.type === "depth") this.depths.set(message.instrument_token, message)
    else if (message.type === "overview") this.overview = message
    else if (message.type === "error") this.refused(message)
    this.tell(message.type, message)
    this.soon()
  }

  // Whatever was refused is said again a little later: a wish may have come too soon, or there is room by then.
  refused(message) {
    this.message = message.message
    this.market.refusal = message.message
    this.stream.refused()
  }

  welcome(message) {
    if (this.market.isAnother(message)) this.forget()
    this.market.welcome(message)
    this.stream.welcomed()
    if (!this.selected && !this.aside) this.selectFirst()
  }

  // A page that names no instrument begins with the first of its list that has a book.
  selectFirst() {
    const first = this.list.keys.find((key) => (this.market.byKey.get(key)?.instrument.segment ?? "INDICES") !== "INDICES")
    if (first) this.select(first)
  }

  state(message) {
    this.market.state(message, this.now())
    this.workspace.follow(message.counters?.workspace)
  }

  // Another source, or a desk that started anew: nothing from before may stay on the screen.
  forget() {
    this.depths.clear()
    this.overview = null
    this.tell("forget", null)
  }

  frame(buffer) {
    const result = this.market.frame(buffer, this.now())
    if (!result) return this.soon()
    this.frames += 1
    if (result.snapshot) this.snapshots += 1
    if (result.restarted) {
      this.forget()
      // Names come with a welcome; rows that were forgotten need theirs again.
      this.stream.hello()
    } else if (result.lost) {
      this.stream.send({a: "snapshot"})
    }
    this.applied += result.changed.length
    this.tell(result.snapshot ? "snapshot" : "frame", result.changed)
    this.soon()
  }

  tell(type, message) {
    for (const target of this.targets.values()) this.guarded(target, () => target.part.heard?.(type, message))
  }

  // A part that fails is blank and says so; the others go on. Old numbers would look like live ones.
  guarded(target, action) {
    try {
      action()
      if (target.failed) this.mend(target)
    } catch (error) {
      if (!target.failed) console.error(`the part ${target.kind} failed`, error)
      target.failed = true
      this.failures += 1
      target.view?.el?.setAttribute("data-failed", "this part of the page failed: reload")
    }
  }

  mend(target) {
    target.failed = false
    target.view?.el?.removeAttribute("data-failed")
  }

  // A hidden page rests; what it shows ages from the first moment it may miss something.
  visibility() {
    if (document.visibilityState === "hidden") {
      this.market.gap(this.now())
      this.stream.pause()
    } else if (this.stream.paused) {
      this.stream.resume()
    }
    this.soon()
  }

  // JSON of a route of the desk. An Error has the desk's reason as its message, `status` and `body`.
  async ask(path, {method = "GET", body, keepalive = false} = {}) {
    const headers = body === undefined ? {} : {"Content-Type": "application/json"}
    // What changes something shows that a page of the desk asks, and not another one through this browser.
    const proof = method === "GET" ? undefined : document.cookie.match(/(?:^|; )tapedeck-xsrf=([^;]+)/)?.[1]
    if (proof !== undefined) headers["X-XSRFToken"] = proof
    const answer = await fetch(new URL(path, this.base), {
      method, headers, keepalive, cache: "no-store", signal: AbortSignal.timeout(ASK_MS),
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    const said = await answer.json().catch(() => ({}))
    if (answer.ok) return said
    throw Object.assign(new Error(said.reason ?? `${answer.status} ${answer.statusText}`), {status: answer.status, body: said})
  }

  // -- drawing ------------------------------------------------------------------------------------------------

  // Draw once before the next paint, however many messages came. A hidden page has no next paint.
  soon() {
    if (document.visibilityState === "hidden") return this.draw()
    this.due ??= requestAnimationFrame(() => this.draw())
  }

  draw() {
    if (this.stopped) return
    cancelAnimationFrame(this.due)
    this.due = null
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.draw(), IDLE_MS)
    this.stream.watch(performance.now())
    this.findTargets()
    const now = this.now()
    this.market.awaiting = this.stream.awaitsWelcome
    this.verdict = this.market.verdict(now)
    this.marketNow = this.market.marketNow(now)
    this.drawnAt = now
    this.watchDay()
    for (const target of this.targets.values()) this.guarded(target, () => target.part.draw(this))
    const stands = this.aside ? this.targets.size > 1 : this.tables().some((table) => table.tabulator)
    if (stands) document.getElementById("skeleton")?.remove()
  }

  // A page stays open over nights: what is of yesterday may not stand beside today's numbers.
  watchDay() {
    const day = yyyymmddOf(this.marketNow)
    if (!Number.isFinite(day)) return
    if (this.day !== undefined && day !== this.day) this.tell("day", day)
    this.day = day
  }

  // Looking through the whole document costs more than most parts' drawing: only when something may be new.
  findTargets() {
    const now = performance.now()
    if (now - this.lookedAt < LOOK_MS && [...this.targets.values()].every(isCurrent)) return
    this.lookedAt = now
    for (const model of this.view.model.document.all_models) {
      const spec = specOf(model)
      if (!spec) continue
      const view = Bokeh.index.find_one_by_id(model.id)
      const known = this.targets.get(model.id)
      if (known && known.view === view && isSame(known)) continue
      const Kind = this.kinds[spec.kind]
      // A data source has no view of its own.
      if (!Kind || (!view && !Kind.needsNoView)) continue
      known?.part.stop?.()
      const content = view?.shadow_el?.lastElementChild
      this.targets.set(model.id, {kind: spec.kind, view, content, part: new Kind(view, spec, this, model)})
    }
  }

  // Every part of that kind.
  parts(kind) {
    return [...this.targets.values()].filter((target) => target.kind === kind).map((target) => target.part)
  }

  tables() {
    return this.parts("table")
  }

  // The first element that matches in any of the page's own shadow roots.
  find(selector) {
    for (const target of this.targets.values()) {
      const found = target.kind !== "table" && target.view?.shadow_el?.querySelector(selector)
      if (found) return found
    }
    return null
  }
}
