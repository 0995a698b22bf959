// The app bar, the tile's header and the status strip: elements marked data-key / data-field / data-td.

import {BLANK, change, clockText, countdown, dayText, directionOf, percent, price, quantity, whole, yyyymmddText} from "./format.js"
import {F} from "./wire.js"
import {login, loginText, roleOf} from "./login.js"
import {numbers} from "./market.js"
import {setData, setText, toggles} from "./tiles.js"

const WRITERS = {
  last_price: (n, row) => price(n.last_price, row?.tick),
  change: (n, row) => change(n.change, row?.tick),
  percent: (n) => percent(n.percent),
}

export class Bars {
  constructor(view, spec, page) {
    this.view = view
    this.page = page
    this.root = view.shadow_el
    this.tiles = [...this.root.querySelectorAll("[data-key]")]
    this.texts = [...this.root.querySelectorAll("[data-td]")]
    for (const button of this.root.querySelectorAll("[data-act]")) button.addEventListener("click", () => this.act(button))
    const [phases, panel] = [this.root.querySelector("[data-opens-phases]"), this.root.querySelector("[data-phases]")]
    if (phases) toggles(phases, panel, () => this.placePhases(phases, panel))
    for (const tile of this.tiles) tile.addEventListener("click", () => page.select(tile.dataset.key))
  }

  act(button) {
    const {shell} = this.page
    const acts = {
      help: () => shell.toggleHelp(),
      theme: () => shell.toggleTheme(),
      density: () => shell.cycleDensity(),
      palette: () => shell.togglePalette(),
      reload: () => location.reload(),
      login: () => login(this.page),
    }
    acts[button.dataset.act]?.()
  }

  // Every segment's phase and countdown, below the badge, in the top layer: nothing of the page cuts it off.
  placePhases(button, panel) {
    const box = button.getBoundingClientRect()
    panel.style.top = `${Math.round(box.bottom + 4)}px`
    panel.style.left = `${Math.round(Math.max(8, Math.min(box.left, window.innerWidth - panel.offsetWidth - 8)))}px`
    this.draw()
  }

  draw() {
    const {page} = this
    const now = page.drawnAt
    for (const tile of this.tiles) drawTile(tile, page.market, page.verdict)
    page.statusTexts = page.statusAt === now ? page.statusTexts : statusTexts(page, now)
    page.statusAt = now
    for (const element of this.texts) {
      const item = page.statusTexts[element.dataset.td]
      if (item === undefined) continue
      const {text, state, title, off} = typeof item === "object" ? item : {text: item}
      if (text !== undefined) setText(element, text)
      if (state !== undefined) setData(element, "state", state)
      if (title !== undefined && element.title !== title) element.title = title
      if (off !== undefined && element.disabled !== off) element.disabled = off
    }
  }
}

function drawTile(tile, market, verdict) {
  const view = market.view(tile.dataset.key, verdict)
  const row = market.byKey.get(tile.dataset.key)
  const shown = numbers(row, view.mode)
  if (tile.dataset.mode !== view.mode) tile.dataset.mode = view.mode
  const dated = view.mode === "closed" ? `close ${yyyymmddText(row.values[F.official_date])}` : view.reason
  const title = `${tile.dataset.key}${dated ? `: ${dated}` : ""}`
  if (tile.title !== title) tile.title = title
  for (const element of tile.querySelectorAll("[data-field]")) {
    const field = element.dataset.field
    const text = view.mode === "loading" ? "" : WRITERS[field](shown, row)
    setText(element, text)
    const direction = directionOf(text)
    if (field !== "last_price" && element.dataset.direction !== direction) element.dataset.direction = direction
  }
}

function statusTexts(page, now) {
  const {market, verdict} = page
  const marketNow = market.marketNow(now)
  return {
    clock: clockText(marketNow),
    date: Number.isFinite(marketNow) ? `${dayText(marketNow)} IST` : "",
    ...phaseTexts(market, marketNow),
    ...feedTexts(market, verdict),
    ...stripTexts(market, verdict, now),
    ...segmentTexts(market, verdict, marketNow),
    login: loginText(market, verdict, roleOf(page)),
    notice: notice(market, verdict, marketNow),
    saved: {text: page.saveProblem, state: page.saveProblem ? "on" : ""},
    reload: {state: page.sessionLost || market.problem ? "on" : ""},
    watermark: market.replay ? `REPLAY ${clockText(marketNow)}` : "",
  }
}

// The page's own phase is that of the exchange's main segment.
function mainPhase(market) {
  return market.phases.NSE_EQ ?? Object.values(market.phases)[0]
}

function phaseTexts(market, marketNow) {
  const phase = mainPhase(market)
  if (!phase || !Number.isFinite(marketNow)) {
    return {phase: {text: BLANK, state: "", title: ""}, "phase-next": "", "phase-left": ""}
  }
  const sub = phase.sub ? ` (${phase.sub.replaceAll("_", " ")})` : ""
  const why = phase.reason ? `: ${phase.reason}` : ""
  // The next market status when the desk names it, else the next phase, else the end of this part of it.
  const until = phase.coarse_until_ms ?? phase.until_ms
  const next = phase.coarse_next ?? phase.next
  const left = (until - marketNow) / 1000
  const title = `NSE equity: ${phase.name}${sub}${why}, then ${phase.next} at ${clockText(phase.until_ms)} IST on ${dayText(phase.until_ms)}`
  return {
    phase: {text: phase.coarse, state: phase.coarse, title},
    "phase-next": {text: next === phase.name && phase.sub ? phase.sub.replaceAll("_", " ") : `→ ${next}`, title},
    "phase-left": {text: left > 0 ? countdown(left) : "…", title},
  }
}

const FEED_WORDS = {
  IDLE: "IDLE", CONNECTING: "CONNECTING", LIVE: "SILENT", STALE: "STALE", BACKOFF: "RECONNECTING",
  LOGIN_REQUIRED: "LOGIN REQUIRED", STANDBY: "STANDBY",
}

// Beside these words the badge has room for the age, and it is what they are about; the others need the room.
const AGED = new Set(["LIVE", "LATE", "SILENT", "STALE"])

export function feedTexts(market, verdict) {
  const age = Number.isFinite(verdict.age) ? `${verdict.age < 100 ? verdict.age.toFixed(1) : Math.floor(verdict.age)} s` : ""
  let word = {live: "LIVE", late: "LATE", loading: "CONNECTING"}[verdict.state]
  word ??= verdict.dead ? (market.connected ? "DESK SILENT" : "DESK OFFLINE") : FEED_WORDS[market.feedState]
  if (word === FEED_WORDS.LOGIN_REQUIRED && market.login.state === "UNCONFIGURED") word = "NOT SET UP"
  const aged = AGED.has(word)
  const why = verdict.reason || "time since the exchange feed was last heard"
  return {
    feed: {text: word, state: verdict.state, title: aged || !age ? why : `${why}; last heard ${age} ago`},
    "feed-age": {text: aged ? age : "", state: verdict.state},
    simulated: {state: market.simulated ? "on" : "", title: market.source},
    replay: {state: market.replay ? "on" : "", title: market.source},
  }
}

// A live market without any tick for so many seconds is worth a word.
const QUIET_S = 15

function notice(market, verdict, marketNow) {
  if (verdict.state === "loading") return {text: "Connecting to the desk", state: "quiet"}
  const needsHelp = ["LOGIN_REQUIRED", "STANDBY"].includes(market.feedState)
  if (verdict.state === "blank" && (verdict.dead || needsHelp || !allClosed(market))) {
    return {text: `Numbers are blank: ${verdict.reason}`, state: "warn"}
  }
  if (verdict.state === "late" && !allClosed(market)) return {text: "Feed is late", state: "warn"}
  if (verdict.state === "live" && market.counters.quiet_s > QUIET_S) {
    return {text: `Connected, but no tick for ${Math.floor(market.counters.quiet_s)} s in a live market`, state: "warn"}
  }
  if (verdict.state === "live" && market.anyIn("CLOSING_AUCTION")) {
    return {text: "Closing auction: last prices stand until they are matched", state: "quiet"}
  }
  const phase = mainPhase(market)
  if (phase?.coarse === "CLOSED" && Number.isFinite(marketNow)) {
    const why = phase.reason ? ` (${phase.reason})` : ""
    if (allClosed(market)) return {text: `Market closed${why}: official prices, dated`, state: "quiet"}
    const open = Object.keys(market.phases).filter((name) => market.phases[name].coarse !== "CLOSED").join(", ")
    return {text: `NSE shares closed${why}: official prices, dated. Still open: ${open.replaceAll("_", " ")}`, state: "quiet"}
  }
  return {text: "", state: ""}
}

function allClosed(market) {
  const phases = Object.values(market.phases)
  return phases.length > 0 && phases.every((phase) => phase.coarse === "CLOSED")
}

function stripTexts(market, verdict, now) {
  const worst = market.worstAge(now, verdict.age)
  const shown = (text) => (verdict.dead ? BLANK : text)
  const count = (name) => shown(whole(market.counters[name]))
  return {
    messages: shown(whole(market.messagesPerSecond)),
    ticks: count("ticks_per_s"),
    frames: shown(market.framesPerSecond(now).toFixed(1)),
    worst: shown(`${worst.toFixed(1)} s`),
    viewers: count("viewers"),
    connections: count("connections"),
    refused: shown(quantity(market.counters.refused)),
    sequence: shown(market.sequence < 0 ? BLANK : String(market.sequence)),
    source: market.source || BLANK,
    cpu: shown(Number.isFinite(market.counters.cpu_pct) ? `${Math.round(market.counters.cpu_pct)} %` : BLANK),
  }
}

function segmentTexts(market, verdict, marketNow) {
  const out = {}
  for (const [name, phase] of Object.entries(market.phases)) {
    const until = phase.coarse_until_ms ?? phase.until_ms
    const left = Number.isFinite(marketNow) && !verdict.dead ? countdown((until - marketNow) / 1000) : BLANK
    out[`segment-${name}`] = verdict.dead ? {text: BLANK, state: "", title: ""} : {
      text: phase.coarse, state: phase.coarse,
      title: `${name}: ${phase.name}${phase.reason ? ` (${phase.reason})` : ""} until ${clockText(phase.until_ms)} IST, ${dayText(phase.until_ms)}`,
    }
    const sub = phase.sub ? ` · ${phase.sub.replaceAll("_", " ")}` : ""
    out[`phase-name-${name}`] = verdict.dead ? BLANK : `${phase.name}${sub}${phase.reason ? `: ${phase.reason}` : ""}`
    out[`phase-next-${name}`] = verdict.dead ? BLANK : `${phase.coarse_next ?? phase.next} ${dayText(until)} ${clockText(until)}`
    out[`phase-left-${name}`] = left
  }
  return out
}
