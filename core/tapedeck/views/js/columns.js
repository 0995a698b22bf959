// What a column of the live table shows: the number behind it and how it is written, by kind.
//
// A kind has `text(entry, spec, page)`; range and sparkline draw into the cell instead.

import {BLANK, change, dayText, directionOf, elapsed, percent, price, quantity, whole, yyyymmddText} from "./format.js"
import {F} from "./wire.js"
import {setData} from "./tiles.js"

const INDEX_SEGMENT = 9

// Numbers of a row that are computed from others here, so that sorting, export and cells agree.
export function derive(numbers, line, instrument) {
  // The wire has a 0 where there is no open interest at all.
  if (instrument && !instrument.expiry) numbers.oi = NaN
  const {low, high, last_price, bid_price, ask_price} = numbers
  numbers.day_range = high > low ? ((last_price - low) / (high - low)) * 100 : NaN
  numbers.spread = ask_price - bid_price
  numbers.value = numbers.volume_traded * numbers.average_traded_price
  numbers.oi_change = numbers.oi > 0 && line?.previous_oi >= 0 && line.previous_oi !== null ? numbers.oi - line.previous_oi : NaN
  numbers.oi_percent = line?.previous_oi > 0 ? (numbers.oi_change / line.previous_oi) * 100 : NaN
  numbers.day_line = numbers.percent
  return numbers
}

// Tabulator's definitions of the columns: least widths that grow together, sorters that keep blanks last. Texts are
// asked of the table whenever Tabulator makes a cell anew. `shown` are the fields to show, in order. A column that is
// not shown is not defined: every row would carry its cell. Only the one sorted by stays, hidden, if it must.
export function definitions(specs, shown, table, sorted = "") {
  const place = (spec) => (spec.fixed ? -1 : shown.includes(spec.field) ? shown.indexOf(spec.field) : specs.length)
  const ordered = specs.filter((spec) => place(spec) < specs.length || spec.field === sorted).sort((a, b) => place(a) - place(b))
  return ordered.map((spec) => (place(spec) < specs.length ? definition(spec, table) : {...definition(spec, table), visible: false}))
}

function definition(spec, table) {
  const text = spec.kind === "text"
  const align = text ? "left" : "right"
  return {
    field: spec.field,
    title: spec.title,
    cssClass: `td-${spec.kind}`,
    headerTooltip: spec.hint || spec.title,
    hozAlign: align,
    headerHozAlign: align,
    minWidth: spec.width,
    widthGrow: spec.field === "name" ? 3 : 1,
    frozen: spec.fixed,
    resizable: false,
    // An element, not a string: Tabulator would take a string as HTML, and names come from outside.
    // Without one an empty string: Tabulator 6.4 shows the word "false".
    tooltip: (event, cell) => table.tooltipElement(cell) ?? "",
    formatter: text ? "plaintext" : (cell) => table.cellText(cell),
    sorter: text ? "string" : "number",
    headerSortStartingDir: text ? "asc" : "desc",
    sorterParams: {alignEmptyValues: "bottom"},
  }
}

const signedQuantity = (value) => {
  const text = quantity(value)
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text
}

const TEXTS = {
  price: (value, entry) => price(value, entry.market?.tick),
  change: (value, entry) => change(value, entry.market?.tick),
  percent: (value) => percent(value),
  growth: (value) => percent(value),
  quantity: (value) => quantity(value),
  signed: (value) => signedQuantity(value),
  crore: (value) => (Number.isFinite(value) ? quantity(value) : BLANK),
  range: (value) => (Number.isFinite(value) ? "" : BLANK),
  spark: () => "",
}

// Kinds coloured by their direction; open interest is not a price and stays grey.
const DIRECTED = new Set(["change", "percent"])

export function cellText(entry, spec, page) {
  if (entry.mode === "" || entry.mode === "loading") return ""
  const value = entry.numbers[spec.field]
  return spec.kind === "age" ? ageText(entry, value, page) : (TEXTS[spec.kind]?.(value, entry) ?? BLANK)
}

function ageText(entry, value, page) {
  if (entry.mode === "closed") return `close ${yyyymmddText(entry.market.values[F.official_date])}`
  const isIndex = (entry.market?.instrument.instrument_token & 0xff) === INDEX_SEGMENT
  if (isIndex) value = entry.numbers.exchange_timestamp_ms
  if (!(value > 0)) return BLANK
  if (entry.numbers.untraded) return `last ${dayText(value)}`
  const age = (page.marketNow - value) / 1000
  return age < 5 ? "now" : elapsed(age)
}

// The whole number, or why there is none.
export function cellTitle(entry, spec) {
  if (entry.mode === "blank" || entry.mode === "late" || entry.mode === "loading") return entry.reason
  if (spec.kind === "text") return entry.row.data.name || entry.key
  if (entry.mode === "closed") return `close ${yyyymmddText(entry.market.values[F.official_date])} (${entry.reason})`
  const value = entry.numbers[spec.field]
  if (spec.kind === "quantity" || spec.kind === "signed") return whole(value)
  if (spec.kind === "crore") return Number.isFinite(value) ? `₹ ${whole(value)}` : ""
  if (spec.kind === "range" && Number.isFinite(value)) {
    return `${price(entry.numbers.low, entry.market?.tick)} to ${price(entry.numbers.high, entry.market?.tick)}, now at ${value.toFixed(0)} %`
  }
  if (spec.kind === "spark") return entry.line ? "last prices of the day, as this desk knew them; gaps are gaps" : "no day line yet"
  return ""
}

export function paintCell(element, entry, spec, page) {
  if (spec.kind === "spark") return page.lines.paint(element, entry)
  const text = cellText(entry, spec, page)
  if (spec.kind === "range") paintRange(element, entry, text, spec)
  else if (element.tapedeckText !== text) writeText(element, text, spec)
  return text
}

// Figures are of one width: a text as long as the one before goes into its node, the cheapest change there is. Any
// other gets a new node: right-aligned text that grows in its old one counts as a layout shift.
function writeText(element, text, spec) {
  const node = element.firstChild
  if (node?.nodeType === 3 && node === element.lastChild && node.nodeValue.length === text.length) node.nodeValue = text
  else element.textContent = text
  markText(element, text, spec)
}

// What goes with a cell's text: whether it is a blank or still awaited, and its direction.
export function markText(element, text, spec) {
  element.tapedeckText = text
  element.toggleAttribute("data-blank", text === BLANK)
  element.toggleAttribute("data-wait", text === "")
  if (DIRECTED.has(spec.kind)) setData(element, "direction", directionOf(text))
}

// A track from the day's low to its high: a mark where the last price is, a notch where the day opened.
function paintRange(element, entry, text, spec) {
  const {day_range: at, open, low, high} = entry.numbers
  const shown = text === "" && Number.isFinite(at)
  const start = shown ? ((open - low) / (high - low)) * 100 : NaN
  const state = shown ? `${Math.round(at)} ${Math.round(start)}` : text
  if (element.tapedeckText === state) return
  markText(element, state, spec)
  if (!shown) {
    element.textContent = state
    return
  }
  let track = element.querySelector("i")
  if (!track) {
    element.textContent = ""
    track = element.appendChild(document.createElement("i"))
    track.className = "range"
    track.setAttribute("role", "img")
  }
  track.style.setProperty("--at", `${Math.round(at)}%`)
  track.style.setProperty("--open", Number.isFinite(start) ? `${Math.round(start)}%` : "-9px")
  track.setAttribute("aria-label", `at ${Math.round(at)} % of the day's range`)
}
