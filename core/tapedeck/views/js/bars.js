// The app bar, the tile's header and the status strip: elements marked data-key / data-field / data-td.

import {BLANK, change, clockText, countdown, dayText, directionOf, percent, price, quantity, whole, yyyymmddText} from "./format.js"
import {F} from "./wire.js"
import {numbers} from "./market.js"

const WRITERS = {
  last_price: (n, row) => price(n.last_price, row?.tick),
  change: (n, row) => change(n.change, row?.tick),
  percent: (n) => percent(n.percent),
}

export function drawBar(root, market, verdict, now, extra) {
  for (const tile of root.querySelectorAll("[data-key]")) drawTile(tile, market, verdict)
  const texts = statusTexts(market, verdict, now, extra)
  for (const element of root.querySelectorAll("[data-td]")) {
    const item = texts[element.dataset.td]
    if (item === undefined) continue
    const {text, state, title} = typeof item === "object" ? item : {text: item}
    if (text !== undefined) write(element, text)
    if (state !== undefined && element.dataset.state !== state) element.dataset.state = state
    if (title !== undefined && element.title !== title) element.title = title
  }
}

function write(element, text) {
  if (element.tapedeckText === text) return
  element.textContent = text
  element.tapedeckText = text
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
    write(element, text)
    const direction = directionOf(text)
    if (field !== "last_price" && element.dataset.direction !== direction) element.dataset.direction = direction
  }
}

function statusTexts(market, verdict, now, extra) {
  const marketNow = market.marketNow(now)
  return {
    clock: clockText(marketNow),
    date: Number.isFinite(marketNow) ? `${dayText(marketNow)} IST` : "",
    ...phaseTexts(market, marketNow),
    ...feedTexts(market, verdict),
    ...stripTexts(market, verdict, now),
    notice: notice(market, verdict, marketNow),
    paused: {state: extra.orderPaused ? "on" : ""},
    reload: {state: extra.sessionLost || market.problem ? "on" : ""},
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

function feedTexts(market, verdict) {
  const age = Number.isFinite(verdict.age) ? `${verdict.age < 100 ? verdict.age.toFixed(1) : Math.floor(verdict.age)} s` : ""
  let word = {live: "LIVE", late: "LATE", loading: "CONNECTING"}[verdict.state]
  word ??= verdict.dead ? (market.connected ? "DESK SILENT" : "DESK OFFLINE") : FEED_WORDS[market.feedState]
  return {
    feed: {text: word, state: verdict.state, title: verdict.reason || "time since the exchange feed was last heard"},
    "feed-age": {text: age, state: verdict.state},
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
    return {text: `Market closed${why}: official prices, dated`, state: "quiet"}
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
    ...segmentTexts(market, verdict),
  }
}

function segmentTexts(market, verdict) {
  const out = {}
  for (const [name, phase] of Object.entries(market.phases)) {
    const shown = verdict.dead ? {text: BLANK, state: "", title: ""} : {
      text: phase.coarse, state: phase.coarse,
      title: `${name}: ${phase.name}${phase.reason ? ` (${phase.reason})` : ""} until ${clockText(phase.until_ms)} IST, ${dayText(phase.until_ms)}`,
    }
    out[`segment-${name}`] = shown
  }
  return out
}
