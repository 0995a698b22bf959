// The market overview below the watchlist: breadth bar, movers and the heat-map of the index.
//
// State of an Overview: the markup it fills, the message that is out of date (of before a pause or a reconnect),
// since when it waits for one, and what it has drawn. The desk is asked for the topic only while it is on screen.

import {BLANK, fixed, whole} from "./format.js"
import {pageState, paintTile, setText} from "./tiles.js"
import {HeatMap} from "./heatmap.js"
import {Movers} from "./movers.js"

const PATIENCE_MS = 5000
const RELEASED_MS = 1000
const BREADTH_PARTS = ["advances", "unchanged", "declines", "unknown"]

class BreadthBar {
  constructor(root) {
    this.universe = root.querySelector("[data-universe]")
    this.size = root.querySelector("[data-universe-size]")
    this.bar = root.querySelector("[data-breadth-bar]")
    this.parts = BREADTH_PARTS.map((name) => ({
      name,
      count: root.querySelector(`[data-count="${name}"]`),
      share: root.querySelector(`[data-share="${name}"]`),
      segment: root.querySelector(`[data-segment="${name}"]`),
    }))
  }

  update(mode, overview) {
    const shown = overview !== null && ["live", "late", "closed"].includes(mode)
    const total = shown ? BREADTH_PARTS.reduce((sum, name) => sum + overview.breadth[name], 0) : 0
    const empty = mode === "loading" ? "" : BLANK
    let before = 0
    for (const {name, count, share, segment} of this.parts) {
      const n = total ? overview.breadth[name] : 0
      setText(count, total ? whole(n) : empty)
      setText(share, total ? `${fixed((n / total) * 100, 0)}%` : "")
      // Moved and stretched by transform alone: nothing else is laid out anew.
      const transform = total ? `translateX(${(before / total) * 100}%) scaleX(${n / total})` : "scaleX(0)"
      if (segment.style.transform !== transform) segment.style.transform = transform
      before += n
    }
    this.describe(overview, total)
  }

  describe(overview, total) {
    const {breadth, universe} = overview ?? {}
    setText(this.size, universe ? whole(universe.count) : "")
    setText(this.universe, universe ? universe.name : "")
    const known = universe ? `${universe.current} of ${universe.count} ${universe.name} have numbers now` : ""
    if (this.universe.parentNode.title !== known) this.universe.parentNode.title = known
    const words = total ? BREADTH_PARTS.map((name) => `${breadth[name]} ${name}`).join(", ") : "no numbers"
    const label = `Breadth of ${universe?.name ?? "the market"}: ${words}`
    if (this.bar.ariaLabel !== label) this.bar.ariaLabel = label
  }
}

export class Overview {
  constructor(view, spec, page) {
    this.view = view
    this.spec = spec
    this.page = page
    this.root = null
    this.old = null
    this.connects = 0
    this.visible = false
    this.hiddenAt = Infinity
    this.waitsSince = null
    this.drawn = []
    this.resize = new ResizeObserver(() => this.resized())
  }

  // Follow the markup the view holds now: Bokeh may make it anew.
  attach() {
    if (this.root?.isConnected) return true
    const root = this.view.shadow_el?.querySelector('[data-tile="overview"]')
    if (!root) return false
    this.resize.disconnect()
    this.root = root
    this.breadth = new BreadthBar(root)
    this.movers = new Movers(root.querySelector("[data-movers]"), this.page, () => this.redraw())
    this.heat = new HeatMap(root.querySelector("[data-heat]"), this.spec, (key) => this.page.select(key))
    for (const element of [root, this.movers.root, this.heat.map]) this.resize.observe(element)
    this.resized()
    // What fits is measured in the page's own font, which may come later.
    document.fonts.ready.then(() => { if (this.root === root) this.resized() })
    return true
  }

  resized() {
    this.show(this.root.clientWidth > 0 && this.root.clientHeight > 0)
    if (!this.visible) return
    this.movers.layout()
    this.heat.layout()
    this.redraw()
  }

  // On screen or not: a hidden overview costs the desk nothing, and what it held before is out of date.
  show(visible) {
    if (visible === this.visible) return
    const now = this.page.now()
    if (visible && now - this.hiddenAt > RELEASED_MS) this.old = this.page.overview
    this.hiddenAt = visible ? Infinity : now
    this.visible = visible
    this.page.stream.wish("topics", visible ? ["overview"] : [])
  }

  heard(type) {
    if (type !== "welcome" || this.connects === this.page.stream.connects) return
    // The desk says everything anew on a new connection.
    this.connects = this.page.stream.connects
    this.old = this.page.overview
  }

  redraw() {
    this.drawn = []
    if (this.page.verdict) this.draw(this.page)
  }

  draw(page) {
    if (!this.attach() || !this.visible) return
    if (page.stream.paused) this.old = page.overview
    const overview = this.current(page)
    const state = this.stateOf(page, overview)
    paintTile(this.root, page, state)
    this.root.toggleAttribute("data-problem", !!overview?.problem)
    const {movers, build_up} = page.workspace.document.layout
    const drawn = [overview, state.mode, page.selected, movers, build_up]
    const same = this.drawn.length > 0 && drawn.every((one, at) => one === this.drawn[at])
    if (!same || this.movers.paused) this.movers.update(state.mode, overview)
    if (same) return
    this.drawn = drawn
    this.breadth.update(state.mode, overview)
    this.heat.update(state.mode, overview?.heatmap ?? [], page.selected)
  }

  // The newest message that is still true, or null.
  current(page) {
    const {overview} = page
    return overview && overview !== this.old && overview.epoch === page.market.epoch ? overview : null
  }

  stateOf(page, overview) {
    const state = pageState(page, overview ? {held: overview.held, date: overview.date} : {})
    if (overview) {
      this.waitsSince = null
      // Nothing is known of anything yet: neither that it has risen nor that it has not.
      const {current, count} = overview.universe
      const waits = state.mode === "live" && overview.held && count > 0 && current === 0
      if (waits) return {mode: "loading", text: overview.problem || "waiting for prices"}
      const text = [state.text, overview.problem].filter((one, at, all) => one && all.indexOf(one) === at).join(" · ")
      return {mode: state.mode, text}
    }
    if (state.mode === "blank" || state.mode === "loading") return state
    this.waitsSince ??= page.now()
    if (page.now() - this.waitsSince < PATIENCE_MS) return {mode: "loading", text: "loading"}
    return {mode: "blank", text: "the desk has not told the overview yet"}
  }

  stop() {
    this.resize.disconnect()
    if (this.visible) this.page.stream.wish("topics", [])
  }
}
