// A Tabulator kept live by writing into its cells: no patch, no redraw, no Python.
//
// Per row: the numbers go into the row's data (sorting and export read it), the texts only into cells that are
// in the document. Rows outside Tabulator's virtual window are painted when they scroll in. This relies on
// internals of Tabulator 6.4 (rowManager.rows, row.cells, modules.sort), watched by a browser test.

import {BLANK, change, dayText, directionOf, elapsed, percent, price, quantity, whole, yyyymmddText} from "./format.js"
import {F} from "./wire.js"
import {numbers} from "./market.js"

const FLASH_MS = 300
// Above this many changes a second a flash tells nothing any more; the gap keeps it from flickering on and off.
const FLASH_OFF = 50
const FLASH_ON = 40
const RESORT_MS = 1000

export class Table {
  constructor(view, spec) {
    this.view = view
    this.columns = spec.columns
    this.tabulator = null
    this.entries = []
    this.sortedAt = 0
    this.pointerInside = false
    this.changeTimes = []
    this.flashing = true
    this.market = null
    this.marketNow = NaN
    this.motion = window.matchMedia("(prefers-reduced-motion: reduce)")
    this.written = 0
  }

  // Follow the Tabulator the view holds now: Panel builds a new one on some changes.
  attach() {
    const tabulator = this.view.tabulator
    if (!tabulator?.initialized) return false
    const rows = tabulator.rowManager.rows
    if (tabulator === this.tabulator && rows[0] === this.entries[0]?.row && rows.length === this.entries.length) return true
    if (tabulator !== this.tabulator) this.listen(tabulator)
    this.tabulator = tabulator
    tabulator.tapedeck = this
    this.entries = rows.map((row) => ({key: row.data.key, row, mode: "", reason: "", version: -1, stamp: 0, painted: -1, numbers: {}}))
    this.byRow = new Map(this.entries.map((entry) => [entry.row, entry]))
    return true
  }

  listen(tabulator) {
    const holder = tabulator.rowManager.element
    // Added after Tabulator's own listener: its new rows are in the document by now.
    holder.addEventListener("scroll", () => this.paintAll())
    tabulator.on("renderComplete", () => this.paintAll())
    tabulator.element.addEventListener("pointerenter", () => { this.pointerInside = true })
    tabulator.element.addEventListener("pointerleave", () => { this.pointerInside = false })
    this.showColumns()
    new ResizeObserver(() => this.showColumns()).observe(this.view.el)
  }

  // Wide screens get more columns; decided on resize only, never on a tick.
  showColumns() {
    const width = this.view.el.clientWidth
    let toggled = false
    for (const spec of this.columns) {
      if (!spec.from) continue
      const column = this.view.tabulator?.columnManager.findColumn(spec.field)
      if (!column || column.visible === width >= spec.from) continue
      column[column.visible ? "hide" : "show"]()
      toggled = true
    }
    if (toggled) this.view.tabulator.columnManager.redraw(true)
  }

  // Panel 1.9.4 waits in a loop without a pause for the `load` of each stylesheet before it redraws after a
  // resize, and a sheet that had loaded before it listened never says so: one core of the viewer, for ever.
  settle() {
    const sheets = this.view._initialized_stylesheets
    for (const [url, loaded] of sheets ?? []) if (!loaded) sheets.set(url, true)
  }

  draw(market, verdict, now) {
    if (!this.attach()) return
    this.settle()
    this.market = market
    this.marketNow = market.marketNow(now)
    let changes = 0
    for (const entry of this.entries) changes += this.update(entry, verdict)
    this.paceFlashes(changes, now)
    this.paintAll()
    this.resort(now)
  }

  // Write the numbers of one row into its data; 1 when its live price changed.
  update(entry, verdict) {
    const view = this.market.view(entry.key, verdict)
    const row = this.market.byKey.get(entry.key)
    const version = row?.version ?? -1
    entry.reason = view.reason
    if (entry.mode === view.mode && entry.version === version) return 0
    const before = entry.mode === "live" ? entry.numbers.last_price : NaN
    entry.market = row
    entry.version = version
    if (row) this.name(entry, row.instrument)
    entry.mode = view.mode
    entry.numbers = numbers(row, view.mode)
    entry.stamp += 1
    const data = entry.row.data
    for (const {field, kind} of this.columns) {
      if (kind === "text") continue
      const value = entry.numbers[field]
      data[field] = value === undefined || Number.isNaN(value) ? null : value
    }
    this.written += 1
    const move = view.mode === "live" ? entry.numbers.last_price - before : 0
    if (move) entry.flash = move
    return move ? 1 : 0
  }

  // The desk may have learned the day's instruments only after this page was made.
  name(entry, instrument) {
    const data = entry.row.data
    if (data.name || !instrument.name) return
    data.name = instrument.name
    data.search = `${entry.key} ${instrument.name}`.toLowerCase()
    for (const cell of entry.row.cells) {
      if (cell.column.field !== "name") continue
      cell.value = data.name
      cell.element.textContent = data.name
    }
  }

  paceFlashes(changes, now) {
    if (changes) this.changeTimes.push([now, changes])
    while (this.changeTimes.length && this.changeTimes[0][0] < now - 1000) this.changeTimes.shift()
    const rate = this.changeTimes.reduce((sum, item) => sum + item[1], 0)
    this.flashing = !this.motion.matches && rate <= (this.flashing ? FLASH_OFF : FLASH_ON)
  }

  paintAll() {
    for (const entry of this.entries) {
      const element = entry.row.element
      if (!element || !element.parentNode || !entry.row.cells.length) continue
      if (element.dataset.mode !== entry.mode) element.dataset.mode = entry.mode
      element.toggleAttribute("data-untraded", !!entry.numbers.untraded)
      for (const cell of entry.row.cells) this.paint(entry, cell)
      entry.flash = 0
    }
  }

  paint(entry, cell) {
    const spec = this.specOf(cell.column.field)
    const element = cell.element
    if (!spec || spec.kind === "text" || !element) return
    const text = this.text(entry, spec)
    if (element.tapedeckText !== text) {
      const node = element.firstChild
      if (node?.nodeType === 3 && node === element.lastChild) node.nodeValue = text
      else element.textContent = text
      element.tapedeckText = text
      cell.value = entry.row.data[spec.field]
      element.toggleAttribute("data-blank", text === BLANK)
    }
    if (spec.kind === "change" || spec.kind === "percent") colour(element, text)
    if (spec.field === "last_price" && entry.flash && this.flashing) flash(element, entry.flash)
  }

  specOf(field) {
    this.specs ??= new Map(this.columns.map((spec) => [spec.field, spec]))
    return this.specs.get(field)
  }

  text(entry, spec) {
    if (entry.mode === "" || entry.mode === "loading") return ""
    const value = entry.numbers[spec.field]
    const tick = entry.market?.tick
    switch (spec.kind) {
      case "price": return price(value, tick)
      case "change": return change(value, tick)
      case "percent": return percent(value)
      case "quantity": return quantity(value)
      case "age": return this.ageText(entry, value)
      default: return BLANK
    }
  }

  ageText(entry, value) {
    if (entry.mode === "closed") return `close ${yyyymmddText(entry.market.values[F.official_date])}`
    const isIndex = (entry.market?.instrument.instrument_token & 0xff) === 9
    if (isIndex) value = entry.numbers.exchange_timestamp_ms
    if (!(value > 0)) return BLANK
    if (entry.numbers.untraded) return `last ${dayText(value)}`
    const age = (this.marketNow - value) / 1000
    return age < 5 ? "now" : elapsed(age)
  }

  // Tabulator makes cells anew when it re-renders a row: its formatter asks here.
  cellText(cell) {
    const inner = cell._cell
    const entry = this.byRow?.get(inner.row)
    const spec = this.specOf(inner.column.field)
    if (!entry || !spec) return ""
    const text = this.text(entry, spec)
    inner.element.tapedeckText = text
    inner.element.toggleAttribute("data-blank", text === BLANK)
    if (spec.kind === "change" || spec.kind === "percent") colour(inner.element, text)
    return text
  }

  tooltipElement(cell) {
    const text = this.tooltip(cell)
    if (!text) return null
    const element = document.createElement("span")
    element.textContent = text
    return element
  }

  tooltip(cell) {
    const entry = this.byRow?.get(cell._cell.row)
    const spec = this.specOf(cell._cell.column.field)
    if (!entry || !spec) return ""
    if (entry.mode === "blank" || entry.mode === "late" || entry.mode === "loading") return entry.reason
    if (spec.kind === "text") return entry.row.data.name || entry.key
    if (entry.mode === "closed") return `close ${yyyymmddText(entry.market.values[F.official_date])} (${entry.reason})`
    return spec.kind === "quantity" ? whole(entry.numbers[spec.field]) : ""
  }

  // Keep a live sort in order, but never under the pointer, and only when the order is wrong.
  resort(now) {
    const sort = this.tabulator.modules.sort?.sortList?.[0]
    const live = sort && this.specOf(sort.column.field)?.kind !== "text" && sort.column.field !== "_index"
    this.orderPaused = !!live && this.pointerInside
    if (!live || this.pointerInside || now - this.sortedAt < RESORT_MS) return
    this.sortedAt = now
    const key = (row) => row.data[sort.column.field] ?? -Infinity
    const rows = this.tabulator.rowManager.getDisplayRows()
    const sign = sort.dir === "asc" ? 1 : -1
    const wrong = rows.some((row, i) => i > 0 && sign * (key(row) - key(rows[i - 1])) < 0)
    if (wrong) this.tabulator.modules.sort.refreshSort()
  }

  filter(text) {
    if (!this.tabulator) return
    const wanted = text.trim().toLowerCase()
    if (wanted) this.tabulator.setFilter("search", "like", wanted)
    else this.tabulator.clearFilter()
    // Asked for by the user: the order is made right at once, also under the pointer.
    if (this.tabulator.modules.sort?.sortList?.length) this.tabulator.modules.sort.refreshSort()
  }

  // Select the next row in the order shown; `step` may be a number of rows, "first" or "last".
  move(step) {
    const rows = this.tabulator?.rowManager.getDisplayRows() ?? []
    if (!rows.length) return
    const selected = this.view.model.source.selected
    const at = rows.findIndex((row) => row.data._index === selected.indices[0])
    let next = at < 0 ? 0 : at + step
    if (step === "first") next = 0
    if (step === "last") next = rows.length - 1
    const row = rows[Math.max(0, Math.min(rows.length - 1, next))]
    selected.indices = [row.data._index]
    const holder = this.tabulator.rowManager.element
    const top = row.getPosition() ? (row.getPosition() - 1) * row.getHeight() : 0
    if (top < holder.scrollTop) holder.scrollTop = top
    else if (top + row.getHeight() > holder.scrollTop + holder.clientHeight) holder.scrollTop = top + row.getHeight() - holder.clientHeight
  }
}

function colour(element, text) {
  const direction = directionOf(text)
  if (element.dataset.direction !== direction) element.dataset.direction = direction
}

function flash(element, move) {
  const style = getComputedStyle(element)
  const tint = style.getPropertyValue(move > 0 ? "--td-flash-up" : "--td-flash-down")
  element.animate([{backgroundColor: tint || "transparent"}, {backgroundColor: "transparent"}], FLASH_MS)
}
