// The panel about the selected instrument: its price, day chart, book, statistics of the day and facts.
//
// State: the key, the newest book (only of this key, and only one heard since it was selected), and since when a
// new one is due. What is written when is decided by `texts`; every text has its room, so nothing moves.

import {BLANK, change, clockText, dayText, directionOf, elapsed, expiry, fixed, decimals, percent, price, quantity, whole, yyyymmddOf, yyyymmddText} from "./format.js"
import {F} from "./wire.js"
import {numbers} from "./market.js"
import {paintTile, setData, setText} from "./tiles.js"
import {copyText} from "./selection.js"
import {isWeekly, kindOf, strikeText} from "./hits.js"
import {Ladder} from "./ladder.js"
import {DayChart} from "./daychart.js"

const INDEX = 9
const CONTRACTS = new Set(["NFO", "BFO", "CDS", "BCD", "MCX", "NCO"])
const TYPES = {EQ: "Equity", INDEX: "Index", FUT: "Future", CE: "Call option", PE: "Put option"}
const PHASE_WORDS = {LIVE: "live", PRE_OPEN: "pre-open", CLOSING_AUCTION: "closing auction"}
// Within this time after a welcome the desk says a wished book again; then the old one is gone.
const BOOK_DUE_MS = 1500
const SAID_MS = 1500
const FLASH_MS = 300

export class Detail {
  constructor(view, spec, page) {
    this.view = view
    this.page = page
    this.chart = new DayChart(page, spec.chart)
    this.key = null
    this.book = null
    this.bookDue = Infinity
    this.last = NaN
    this.room = NaN
    this.motion = window.matchMedia("(prefers-reduced-motion: reduce)")
  }

  heard(type, message) {
    if (type === "forget") this.book = null
    if (type === "welcome") this.bookDue = this.page.now() + BOOK_DUE_MS
    if (type === "depth" && message.key === this.key) {
      this.book = message
      this.bookDue = Infinity
    }
  }

  stop() {
    clearTimeout(this.flashing)
    this.page.stream.wish("depth", [])
  }

  // Follow the elements the view holds now: Panel may write them anew.
  bind() {
    const tile = this.view.shadow_el?.querySelector("[data-tile=detail]")
    if (!tile) return false
    if (tile === this.tile) return true
    this.tile = tile
    const named = (name) => Object.fromEntries([...tile.querySelectorAll(`[data-${name}]`)].map((one) => [one.dataset[name], one]))
    this.fields = named("field")
    this.facts = named("fact")
    this.labels = named("label")
    this.title = tile.querySelector("header h2")
    this.exchange = tile.querySelector("header small")
    this.span = tile.querySelector("[data-span-bar]")
    this.marks = named("mark")
    this.seen = null
    this.day = tile.querySelector("[data-day]")
    this.pill = tile.querySelector("[data-pill]")
    new ResizeObserver(() => { this.room = this.day.clientHeight }).observe(this.day)
    this.ladder = new Ladder(tile.querySelector("[data-ladder]"))
    this.copy = tile.querySelector("[data-copy]")
    this.said = tile.querySelector("[data-said]")
    this.copy.addEventListener("click", () => this.copied())
    return true
  }

  async copied() {
    const done = await copyText(this.key)
    this.said.textContent = done ? "copied" : "not allowed"
    clearTimeout(this.saidTimer)
    this.saidTimer = setTimeout(() => { this.said.textContent = "" }, SAID_MS)
  }

  draw(page) {
    if (!this.bind()) return
    const key = page.selected.includes(":") ? page.selected : ""
    if (key !== this.key) this.turn(key)
    const row = page.market.byKey.get(key)
    const view = key ? page.market.view(key, page.verdict) : {mode: "none", reason: ""}
    if (page.verdict.dead || page.now() > this.bookDue) this.book = null
    const shown = this.look(row, view)
    paintTile(this.tile, page, {mode: view.mode, text: this.chip(shown)})
    this.paintNumbers(shown)
    setText(this.facts.times, key ? timesText(shown, page) : "")
    this.paintBook(shown)
    this.paintChart(shown)
  }

  // Another instrument: nothing of the one before may stand under its name.
  turn(key) {
    const first = this.key === null
    this.key = key
    const token = this.page.market.byKey.get(key)?.token
    this.book = first ? (this.page.depths.get(token) ?? null) : null
    this.bookDue = Infinity
    this.last = NaN
    this.page.stream.wish("depth", key ? [key] : [])
    const [exchange, symbol] = key ? [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)] : ["", ""]
    setText(this.title, symbol || "Instrument")
    setText(this.exchange, exchange)
    this.title.title = key
    this.tile.setAttribute("aria-label", key ? `Instrument ${key}` : "Instrument")
    setData(this.tile, "contract", CONTRACTS.has(exchange) ? "yes" : "")
    this.copy.disabled = !key
    this.copy.title = this.copy.ariaLabel = key ? `Copy ${key}` : "Copy the instrument's key"
  }

  // Everything the writers need, gathered once.
  look(row, view) {
    const {key, page} = this
    const n = numbers(row, view.mode)
    const instrument = row?.instrument ?? {}
    const now = page.market.marketNow(page.now())
    const live = view.mode === "live" || view.mode === "late"
    const index = ((instrument.instrument_token ?? 0) & 0xff) === INDEX
    const contract = CONTRACTS.has(key.split(":")[0])
    return {key, row, view, n, instrument, tick: row?.tick, now, live, index, contract, day: this.chart.day(key), book: live ? this.book : null}
  }

  chip({view, row, live}) {
    if (view.mode === "late") return `late ${this.page.verdict.age.toFixed(1)} s`
    if (live) return PHASE_WORDS[row.phase] ?? row.phase.toLowerCase()
    if (view.mode === "closed") return `close ${yyyymmddText(row.values[F.official_date])}`
    return view.mode === "loading" ? "loading" : view.reason
  }

  // Once a second ages grow; else nothing is written while nothing new is known.
  paintNumbers(shown) {
    const {key, view, row, now, day, book} = shown
    const stamp = [key, view.mode, view.reason, row?.version, Math.floor(now / 1000), this.page.market.source].join()
    const {seen} = this
    if (seen?.stamp === stamp && seen.day === day && seen.book === book && seen.instrument === row?.instrument) return
    this.seen = {stamp, day, book, instrument: row?.instrument}
    this.write(shown)
    this.paintSpan(shown)
  }

  write(shown) {
    const bare = shown.view.mode === "loading" || shown.view.mode === "none"
    for (const [name, element] of Object.entries(this.fields)) {
      const said = bare ? "" : NUMBERS[name](shown)
      const {text, title = "", direction = ""} = typeof said === "object" ? said : {text: said}
      setText(element, text)
      setData(element, "blank", text === BLANK ? "yes" : "")
      if ((element.tapedeckTitle ?? "") !== title) element.title = element.tapedeckTitle = title
      if (DIRECTED.has(name)) setData(element, "direction", direction)
    }
    for (const [name, element] of Object.entries(this.facts)) {
      const known = shown.key && (name === "name" || shown.row || shown.view.mode !== "loading")
      if (FACTS[name]) setText(element, known ? FACTS[name](shown, this.page) : "")
    }
    setText(this.labels.oi_change, oiLabel(shown.day))
    setData(this.fields.last, "untraded", shown.n.untraded ? "yes" : "")
    this.flash(shown)
  }

  flash({live, n}) {
    const before = this.last
    this.last = live ? n.last_price : NaN
    const move = this.last - before
    if (!move || this.motion.matches) return
    const {last} = this.fields
    last.dataset.flash = move > 0 ? "up" : "down"
    clearTimeout(this.flashing)
    this.flashing = setTimeout(() => last.removeAttribute("data-flash"), FLASH_MS)
  }

  // Where the last price and the average stand between the day's low and high.
  paintSpan({n}) {
    const place = (value) => (n.high > n.low ? Math.max(0, Math.min(100, ((value - n.low) / (n.high - n.low)) * 100)) : NaN)
    const places = {last: n.untraded ? NaN : place(n.last_price), average: place(n.average_traded_price)}
    for (const [name, at] of Object.entries(places)) {
      const mark = this.marks[name]
      const transform = Number.isFinite(at) ? `translateX(${at.toFixed(1)}%)` : ""
      if (mark.tapedeckAt === transform) continue
      mark.style.transform = mark.tapedeckAt = transform
      mark.hidden = !transform
    }
    const label = Number.isFinite(places.last) ? `last price at ${Math.round(places.last)}% of the day's range` : "day's range not known"
    if (this.span.title === label) return
    this.span.title = label
    this.span.setAttribute("aria-label", label)
  }

  paintBook({key, view, n, index, live, book, tick}) {
    const known = book?.known
    let why = ""
    if (index) why = "an index has no order book"
    else if (view.mode === "closed") why = "market closed: no order book"
    else if (view.mode === "blank") why = view.reason
    else if (live && !book) why = "waiting for the book"
    else if (live && !known) why = "the newest packet had no book"
    const totals = known ? [book.total_buy_quantity ?? n.total_buy_quantity, book.total_sell_quantity ?? n.total_sell_quantity] : [NaN, NaN]
    this.ladder.draw({key, book: known && !why ? book : null, why, none: index && view.mode !== "none", totals, tick})
  }

  paintChart({key, view, n, tick, contract, day, live}) {
    const close = view.mode === "blank" ? NaN : (n.close ?? NaN)
    const direction = n.change > 0 ? "up" : n.change < 0 ? "down" : ""
    const last = live && !n.untraded ? (n.last_price ?? NaN) : NaN
    const there = this.chart.draw({key, mode: view.mode, close, tick, direction, host: this.tile, last, room: this.room})
    this.paintPill(there, last, tick, direction)
    setData(this.day, "there", there ? "yes" : "")
    setText(this.day.firstElementChild, !there && key && view.mode !== "loading" ? dayWord(this.chart.source, key, this.page) : "")
    if (contract && day && (day.previous_oi ?? null) === null) this.chart.source.again()
  }

  // The last price at its height on the chart's axis.
  paintPill(there, last, tick, direction) {
    const {pill} = this
    const at = there ? this.chart.height(last) : NaN
    setData(pill, "direction", direction)
    setText(pill, Number.isFinite(at) ? price(last, tick) : "")
    const transform = Number.isFinite(at) ? `translateY(${Math.round(at)}px)` : ""
    if (pill.tapedeckAt !== transform) pill.style.transform = pill.tapedeckAt = transform
  }
}

function dayWord(source, key, {market, verdict}) {
  // Without a login nothing is fetched, whatever was under way.
  if (market.loggedOut || market.feedState === "LOGIN_REQUIRED") return verdict.reason
  if (!source || source.key !== key || !source.answers) return ""
  if (!source.day) return "no session today"
  return source.fetching ? "the day's prices are being fetched" : "no prices of today yet"
}

const DIRECTED = new Set(["change", "percent", "gap"])
const directed = (text) => ({text, direction: directionOf(text)})
const large = (value) => ({text: quantity(value), title: Math.abs(value) >= 100000 ? whole(value) : ""})
const share = (part, of) => (of > 0 ? (part / of) * 100 : NaN)
const clockShort = (ms) => clockText(ms).slice(0, 5)

// Every number of the panel; the shown state gives NaN for what may not be shown.
const NUMBERS = {
  last: ({n, tick}) => price(n.last_price, tick),
  change: ({n, tick}) => directed(change(n.change, tick)),
  percent: ({n}) => directed(percent(n.percent)),
  age: (shown) => ageText(shown),
  dated: ({view, row}) => (view.mode === "closed" ? yyyymmddText(row.values[F.official_date]) : ""),
  open: ({n, tick}) => price(n.open, tick),
  high: ({n, tick}) => price(n.high, tick),
  low: ({n, tick}) => price(n.low, tick),
  close: ({n, tick}) => price(n.close, tick),
  average: ({n, tick}) => price(n.average_traded_price, tick),
  volume: ({n}) => large(n.volume_traded),
  value: ({n}) => rupees(n.volume_traded * n.average_traded_price),
  ltq: ({n}) => large(n.last_traded_quantity),
  gap: ({n}) => directed(percent(share(n.open - n.close, n.close))),
  range: ({n}) => unsignedPercent(share(n.high - n.low, n.close)),
  oi: ({n}) => large(n.oi),
  oi_change: oiChange,
  oi_high: ({book}) => large(book?.oi_day_high ?? NaN),
  oi_low: ({book}) => large(book?.oi_day_low ?? NaN),
  lot_value: ({n, instrument, index}) => rupees(index ? NaN : n.last_price * instrument.lot_size),
}

// What is known of the instrument whatever the feed does.
const FACTS = {
  name: ({instrument, key}) => instrument.name || key.slice(key.indexOf(":") + 1),
  segment: ({instrument}) => instrument.segment || BLANK,
  type: ({instrument, index}) => (instrument.key ? (TYPES[index ? "INDEX" : kindOf(instrument)] ?? instrument.instrument_type) : BLANK),
  tick: ({tick}) => (tick > 0 ? fixed(tick, decimals(tick)) : BLANK),
  lot: ({instrument, index}) => (instrument.lot_size > 0 && !index ? whole(instrument.lot_size) : BLANK),
  token: ({instrument}) => (instrument.instrument_token ? String(instrument.instrument_token) : BLANK),
  expiry: ({instrument}) => expiry(instrument.expiry, instrument.expiry ? isWeekly(instrument) : false),
  left: ({instrument, now}) => daysLeft(instrument.expiry, now),
  strike: ({instrument}) => (instrument.strike > 0 ? strikeText(instrument.strike) : BLANK),
  underlying: ({instrument}) => instrument.name || BLANK,
  hours: hoursText,
  source: (_, page) => `source ${page.market.source || "not known"}${page.market.simulated ? " (simulated)" : ""}`,
}

const unsignedPercent = (value) => (Number.isFinite(value) ? `${fixed(value, 2)}%` : BLANK)

function rupees(value) {
  const {text, title} = large(value)
  return {text: text === BLANK ? BLANK : `₹${text}`, title: title && `₹${title}`}
}

function ageText({view, row, n, index, now}) {
  if (view.mode === "blank") return ""
  if (view.mode === "closed") return {text: `official close ${yyyymmddText(row.values[F.official_date])}`, title: view.reason}
  if (index) return n.exchange_timestamp_ms > 0 ? `value of ${clockText(n.exchange_timestamp_ms)}` : ""
  const at = n.last_trade_time_ms
  if (!(at > 0)) return "no trade yet"
  if (n.untraded) return `last trade ${dayText(at)}`
  const seconds = (now - at) / 1000
  return {text: seconds < 5 ? "last trade now" : `last trade ${elapsed(seconds)} ago`, title: `${clockText(at)} IST`}
}

function oiLabel(day) {
  const on = day?.previous_oi_date
  const date = typeof on === "string" ? Number(on.replaceAll("-", "")) : on
  return date > 0 ? `OI vs ${yyyymmddText(date)}` : "OI chg"
}

function oiChange({n, day}) {
  const before = day?.previous_oi ?? NaN
  const moved = n.oi - before
  if (!Number.isFinite(moved)) return {text: BLANK, title: Number.isFinite(n.oi) ? "the previous day's open interest is not known yet" : ""}
  const text = quantity(moved)
  return {text: moved > 0 ? `+${text}` : text, title: `${whole(moved)} units, ${percent(share(moved, before))}`}
}

// Days from market time's date in India to the last day of trading.
function daysLeft(day, now) {
  if (!day || !Number.isFinite(now)) return BLANK
  const today = yyyymmddOf(now)
  const date = Date.UTC(Math.floor(today / 10000), (Math.floor(today / 100) % 100) - 1, today % 100)
  const days = Math.round((Date.parse(`${day}T00:00:00Z`) - date) / 86400000)
  if (days < 0) return "ended"
  return days === 0 ? "today" : days === 1 ? "tomorrow" : `in ${days} days`
}

const PHASE_SEGMENTS = {NSE: "NSE_EQ", BSE: "BSE_EQ"}

function hoursText({key, day, row}, page) {
  const exchange = key.split(":")[0]
  const phase = page.verdict.dead ? null : page.market.phases[PHASE_SEGMENTS[exchange] ?? exchange]
  const hours = day?.start_ms && day.end_ms ? `session ${clockShort(day.start_ms)}–${clockShort(day.end_ms)} IST` : ""
  const now = phase && row && phase.name === row.phase ? `${phase.name.replaceAll("_", " ").toLowerCase()} until ${clockShort(phase.until_ms)}` : ""
  return [hours, now].filter(Boolean).join(" · ")
}

// How old the shown numbers are.
function timesText({n, live, view, row}, page) {
  const {age} = page.verdict
  const feed = Number.isFinite(age) ? `feed ${age < 100 ? age.toFixed(1) : Math.floor(age)} s` : "feed not heard"
  let at = ""
  if (live && n.exchange_timestamp_ms > 0) at = `exchange time ${clockText(n.exchange_timestamp_ms)}`
  else if (view.mode === "closed") at = `official close of ${yyyymmddText(row.values[F.official_date])}`
  return [feed, at].filter(Boolean).join(" · ")
}
