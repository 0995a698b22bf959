// A Tabulator kept live by writing into its cells: no patch, no redraw, no Python.
//
// Per row: the numbers go into the row's data (sorting and export read it), the texts only into cells that are
// in the document. Rows outside Tabulator's virtual window are painted when they scroll in. The rows themselves
// are those of the page's list: they change here, without Python. This relies on internals of Tabulator 6.4
// (rowManager.rows, row.cells, modules.sort, columnManager), watched by browser tests.

import {MONTHS} from "./format.js"
import {numbers} from "./market.js"
import {setData} from "./tiles.js"
import {cellText, cellTitle, definitions, derive, markText, paintCell} from "./columns.js"
import {RowMoves} from "./moves.js"
import {Selection} from "./selection.js"

const FLASH_MS = 300
// Above this many changes a second a flash tells nothing any more; the gap keeps it from flickering on and off.
const FLASH_OFF = 50
const FLASH_ON = 40
const RESORT_MS = 1000
const FOCUS_MS = 150
// Rows beyond the window that are kept at full rate, so that a small scroll finds them fresh.
const FOCUS_MARGIN = 6
const WANT_MS = 2000
const ROW_PX = {compact: 24, normal: 28, relaxed: 36}

export class Table {
  constructor(view, spec, page) {
    this.view = view
    this.page = page
    this.columns = spec.columns
    this.specs = new Map(spec.columns.map((one) => [one.field, one]))
    this.tabulator = null
    this.entries = []
    this.byKey = new Map()
    this.sortedAt = 0
    this.pointerInside = false
    this.changeTimes = []
    this.flashing = true
    this.flashed = []
    this.motion = window.matchMedia("(prefers-reduced-motion: reduce)")
    this.written = 0
    this.shownKeys = null
    this.visible = []
    this.wantedAt = 0
    this.selection = new Selection(this)
    this.moves = new RowMoves(this)
    // Read when it changes, not when something is drawn: reading it then would lay the page out twice.
    this.width = view.el.clientWidth
    this.height = view.el.clientHeight
    this.resize = new ResizeObserver(() => this.resized())
    this.takeOver(view)
  }

  // After a change of size Panel 1.9.4 makes every row anew, and before that it waits, in a loop without a pause,
  // for its layout to finish and for the `load` of each stylesheet: what never comes takes one core of the viewer,
  // for ever. Here the table fits itself.
  takeOver(view) {
    view._resize_pending = false
    view._request_resize_redraw = () => {}
  }

  resized() {
    const {clientWidth: width, clientHeight: height} = this.view.el
    if (width === this.width && height === this.height) return
    this.width = width
    this.height = height
    // Without a size the table is not shown: a narrow page shows another part.
    if (this.tabulator && width && height) {
      this.showColumns()
      this.tabulator.redraw()
    }
    this.focusSoon()
  }

  get market() {
    return this.page.market
  }

  // Follow the Tabulator the view holds now: Panel builds a new one on some changes.
  attach() {
    const tabulator = this.view.tabulator
    if (!tabulator?.initialized) return false
    if (tabulator !== this.tabulator) {
      this.tabulator = tabulator
      this.listen(tabulator)
    }
    this.showList()
    const rows = tabulator.rowManager.rows
    const known = rows[0] === this.entries[0]?.row && rows.length === this.entries.length && rows.at(-1) === this.entries.at(-1)?.row
    if (known) return true
    this.entries = rows.map((row) => ({key: row.data.key, row, mode: "", reason: "", version: -1, numbers: {}}))
    this.byRow = new Map(this.entries.map((entry) => [entry.row, entry]))
    this.byKey = new Map(this.entries.map((entry) => [entry.key, entry]))
    this.page.lines.want(this.entries.map((entry) => entry.key))
    this.focusSoon()
    return true
  }

  listen(tabulator) {
    tabulator.tapedeck = this
    tabulator.options.placeholder = () => this.whyEmpty()
    // Panel tells Python of these; rows, order and filter are the browser's own here.
    for (const event of ["dataSorting", "dataFiltering", "rowClick", "rowSelectionChanged"]) tabulator.off(event)
    // Built with its columns as they are to be: each change of a standing table lays the page out anew.
    const wanted = this.wantedColumns()
    this.columnsShown = wanted.join()
    this.density = ""
    this.applyDensity(tabulator)
    this.setColumns(tabulator, wanted)
    const holder = tabulator.rowManager.element
    // Added after Tabulator's own listener: its new rows are in the document by now.
    holder.addEventListener("scroll", () => { this.paintAll(); this.focusSoon() })
    tabulator.element.setAttribute("aria-label", "Watchlist")
    tabulator.element.setAttribute("aria-multiselectable", "true")
    // What scrolls can have the focus, and a grid may hold nothing that can but groups of rows.
    holder.setAttribute("role", "rowgroup")
    holder.querySelector(".tabulator-table")?.setAttribute("role", "presentation")
    tabulator.on("renderComplete", () => { this.paintAll(); this.focusSoon() })
    this.moves.listen(tabulator)
    tabulator.on("columnMoved", () => this.keepColumns())
    tabulator.on("dataSorted", (sorters) => this.sorted(sorters))
    tabulator.element.addEventListener("pointerenter", () => { this.pointerInside = true })
    tabulator.element.addEventListener("pointerleave", () => { this.pointerInside = false })
    this.selection.listen(tabulator)
    this.applySort(tabulator)
    if (this.page.ui.get("filter")) this.filter(this.page.ui.get("filter"))
    this.resize.observe(this.view.el)
  }

  // -- rows -----------------------------------------------------------------------------------------------------

  // Show the instruments of the page's list. The data source is told too, silently and only here in the browser:
  // should Panel build the table anew, it finds the same rows.
  showList() {
    const keys = this.page.list.keys
    const signature = keys.join("\n")
    if (this.shownKeys === signature) return
    const first = this.shownKeys === null
    this.shownKeys = signature
    const rows = this.tabulator.rowManager.rows
    if (first && rows.length === keys.length && rows.every((row, i) => row.data.key === keys[i])) return
    const records = keys.map((key, index) => this.record(key, index))
    const source = this.view.model.source
    const data = {}
    for (const name of source.columns()) data[name] = records.map((record) => (name === "index" ? record._index : (record[name] ?? NaN)))
    source.setv({data}, {sync: false, silent: true})
    // What explains a row goes with it.
    this.tabulator.modules.tooltip?.clearPopup()
    this.tabulator.replaceData(records)
  }

  record(key, index) {
    const old = this.byKey.get(key)?.row.data
    const name = this.market.byKey.get(key)?.instrument.name ?? old?.name ?? ""
    const symbol = key.slice(key.indexOf(":") + 1)
    return {...old, _index: index, key, symbol, name, search: `${key} ${name}`.toLowerCase()}
  }

  // -- columns --------------------------------------------------------------------------------------------------

  // Fields to show, in order: those chosen, or else those that the width has room for. Never on a tick.
  wantedColumns() {
    const chosen = this.page.workspace.document.columns
    const known = chosen?.filter((field) => this.specs.has(field)) ?? []
    if (known.length) return known
    return this.columns.filter((spec) => !spec.fixed && spec.from >= 0 && this.width >= spec.from).map((spec) => spec.field)
  }

  showColumns() {
    const tabulator = this.view.tabulator
    // Without width the table is not shown: a narrow page shows another part.
    if (!tabulator?.initialized || !this.width) return
    const wanted = this.wantedColumns()
    const signature = wanted.join()
    if (signature === this.columnsShown) return
    this.columnsShown = signature
    const {scrollTop} = tabulator.rowManager.element
    this.setColumns(tabulator, wanted)
    this.applySort(tabulator)
    tabulator.rowManager.element.scrollTop = scrollTop
    this.paintAll()
  }

  setColumns(tabulator, wanted) {
    const [sorted] = this.page.ui.get("sort").split(".")
    tabulator.setColumns(definitions(this.columns, wanted, this, sorted))
  }

  keepColumns() {
    const shown = this.tabulator.columnManager.columnsByIndex.filter((column) => column.visible && this.specs.has(column.field))
    const columns = shown.map((column) => column.field).filter((field) => !this.specs.get(field).fixed)
    this.columnsShown = columns.join()
    if (columns.length) this.page.workspace.change({columns})
  }

  applyDensity(tabulator) {
    const density = this.page.workspace.document.density
    if (density === this.density) return
    const first = this.density === ""
    this.density = density
    const height = ROW_PX[density] ?? ROW_PX.normal
    if (first && height === tabulator.options.rowHeight) return
    tabulator.options.rowHeight = height
    this.view.el.style.setProperty("--td-row", `${height}px`)
    for (const row of tabulator.rowManager.rows) {
      row.heightStyled = ""
      row.heightInitialized = false
      row.initialized = false
    }
    tabulator.rowManager.redraw(true)
    this.paintAll()
  }

  // -- drawing --------------------------------------------------------------------------------------------------

  draw() {
    if (!this.attach()) return
    this.applyDensity(this.tabulator)
    this.showColumns()
    this.view.el.toggleAttribute("data-replay", this.market.replay)
    const now = this.page.now()
    let changes = 0
    for (const entry of this.entries) changes += this.update(entry)
    this.paceFlashes(changes, now)
    this.paintAll()
    this.endFlashes()
    this.resort(now)
    if (now - this.wantedAt > WANT_MS) {
      this.wantedAt = now
      // While the desk still fetches, all are asked for: a table is sorted by rows out of sight, too.
      this.page.lines.want(this.page.lines.waiting ? this.page.list.keys : this.visible)
    }
  }

  heard(type) {
    if (type === "forget" || type === "day") this.page.lines.forget()
    if (type === "snapshot") {
      this.page.lines.outdate()
      this.focusSoon()
    }
  }

  // Write the numbers of one row into its data; 1 when its live price changed.
  update(entry) {
    const view = this.market.view(entry.key, this.page.verdict)
    const row = this.market.byKey.get(entry.key)
    const version = row?.version ?? -1
    const line = this.page.lines.line(entry.key)
    entry.reason = view.reason
    const same = entry.mode === view.mode && entry.version === version && entry.market === row
    if (same && entry.oiBase === line?.previous_oi) return 0
    const before = entry.mode === "live" ? entry.numbers.last_price : NaN
    entry.market = row
    entry.version = version
    entry.oiBase = line?.previous_oi
    if (row) this.name(entry, row.instrument)
    entry.mode = view.mode
    entry.numbers = derive(numbers(row, view.mode), line, row?.instrument)
    this.store(entry)
    const move = view.mode === "live" ? entry.numbers.last_price - before : 0
    if (move) entry.flash = move
    return move ? 1 : 0
  }

  store(entry) {
    const data = entry.row.data
    for (const {field, kind} of this.columns) {
      if (kind === "text") continue
      const value = entry.numbers[field]
      data[field] = value === undefined || Number.isNaN(value) ? null : value
    }
    this.written += 1
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
      setData(element, "mode", entry.mode)
      element.toggleAttribute("data-untraded", !!entry.numbers.untraded)
      this.selection.paint(entry, element)
      for (const cell of entry.row.cells) if (cell.column.visible) this.paint(entry, cell)
      entry.flash = 0
    }
  }

  paint(entry, cell) {
    const spec = this.specs.get(cell.column.field)
    const element = cell.element
    if (!spec || !element) return
    if (spec.field === "symbol") {
      paintContract(element, entry.market?.instrument)
      this.selection.actions(entry, element)
    }
    if (spec.kind === "text") return
    const before = element.tapedeckText
    const text = paintCell(element, entry, spec, this.page)
    if (before !== text) cell.value = entry.row.data[spec.field]
    if (spec.field === "last_price" && entry.flash && this.flashing) this.flash(element, entry.flash)
  }

  // A tint that stands and goes, not one that fades: an animated background repaints sixty times a second.
  flash(element, move) {
    element.dataset.flash = move > 0 ? "up" : "down"
    this.flashed.push(element)
  }

  // The cells that flash now stop together, unless one flashed again meanwhile.
  endFlashes() {
    const over = this.flashed
    if (!over.length) return
    this.flashed = []
    for (const element of over) element.tapedeckFlash = (element.tapedeckFlash ?? 0) + 1
    setTimeout(() => {
      for (const element of over) {
        element.tapedeckFlash -= 1
        if (!element.tapedeckFlash) element.removeAttribute("data-flash")
      }
    }, FLASH_MS)
  }

  // Tabulator makes cells anew when it re-renders a row: its formatter asks here.
  cellText(cell) {
    const inner = cell._cell
    const entry = this.byRow?.get(inner.row)
    const spec = this.specs.get(inner.column.field)
    if (!entry || !spec || spec.kind === "spark" || spec.kind === "range") return ""
    const text = cellText(entry, spec, this.page)
    markText(inner.element, text, spec)
    return text
  }

  tooltipElement(cell) {
    const entry = this.byRow?.get(cell._cell.row)
    const spec = this.specs.get(cell._cell.column.field)
    const text = entry && spec ? cellTitle(entry, spec) : ""
    return text ? element("span", text) : null
  }

  // -- order and filter -----------------------------------------------------------------------------------------

  applySort(tabulator) {
    const [field, dir] = this.page.ui.get("sort").split(".")
    if (field && this.specs.has(field)) tabulator.setSort(field, dir === "asc" ? "asc" : "desc")
  }

  sorted(sorters) {
    const first = sorters.find((one) => this.specs.has(one.field))
    this.page.ui.set({sort: first ? `${first.field}.${first.dir}` : ""})
    this.focusSoon()
  }

  clearSort() {
    this.tabulator?.clearSort()
    this.inOrder()
  }

  // The rows as the list has them, and then as they are sorted.
  inOrder() {
    const order = new Map(this.page.list.keys.map((key, i) => [key, i]))
    this.tabulator?.rowManager.rows.sort((a, b) => order.get(a.data.key) - order.get(b.data.key))
    this.entries = []
    this.tabulator?.rowManager.refreshActiveData("filter", false, true)
  }

  // Keep a live sort in order, but never under the pointer, and only when the order is wrong.
  resort(now) {
    const sort = this.tabulator.modules.sort?.sortList?.[0]
    const live = sort && this.specs.has(sort.column.field) && this.specs.get(sort.column.field).kind !== "text"
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
    const words = wanted.split(/\s+/)
    this.page.ui.set({filter: wanted})
    if (wanted) this.tabulator.setFilter((data) => words.every((word) => data.search.includes(word)))
    else this.tabulator.clearFilter()
    // Asked for by the user: the order is made right at once, also under the pointer.
    if (this.tabulator.modules.sort?.sortList?.length) this.tabulator.modules.sort.refreshSort()
    this.focusSoon()
  }

  whyEmpty() {
    const {length} = this.page.list.keys
    const filter = this.page.ui.get("filter")
    if (length && filter) return element("p", `No row matches “${filter}”: ${length} hidden. Esc in the filter clears it.`)
    return element("p", "This list is empty: search with / and Shift+Enter, or paste symbols from the ⋯ menu")
  }

  // -- what is visible ------------------------------------------------------------------------------------------

  focusSoon() {
    if (this.focusTimer) return
    this.focusTimer = setTimeout(() => { this.focusTimer = null; this.focus() }, FOCUS_MS)
  }

  // Rows in sight come at full rate, the others once a second: enough to sort by.
  focus() {
    const rows = this.tabulator?.rowManager.getDisplayRows() ?? []
    const holder = this.tabulator?.rowManager.element
    if (!holder?.clientHeight) return
    const height = this.tabulator.options.rowHeight
    const first = Math.max(0, Math.floor(holder.scrollTop / height) - FOCUS_MARGIN)
    const last = Math.ceil((holder.scrollTop + holder.clientHeight) / height) + FOCUS_MARGIN
    const keys = rows.slice(first, last).map((row) => row.data.key).filter(Boolean)
    const selected = this.page.selected ? [this.page.selected] : []
    this.page.stream.wish("focus", [...new Set([...this.page.model.tape, ...selected, ...keys])])
    this.visible = keys
    this.page.lines.want(keys)
  }

  move(step, options) {
    this.selection.move(step, options)
  }

  copy() {
    this.selection.copy()
  }

  stop() {
    this.resize.disconnect()
    this.moves.stop()
    clearTimeout(this.focusTimer)
  }
}

function element(tag, text) {
  const made = document.createElement(tag)
  made.textContent = text
  return made
}

// A contract as its parts say it, "NIFTY 1 DEC" and "24150 CE": exchanges write them as one long word.
function paintContract(cell, instrument) {
  if (!instrument?.expiry || cell.firstElementChild?.className === "td-contract") return
  const [, month, day] = instrument.expiry.split("-").map(Number)
  const option = instrument.instrument_type !== "FUT"
  const parts = element("span", "")
  parts.className = "td-contract"
  parts.title = instrument.key
  const last = option ? `${instrument.strike} ${instrument.instrument_type}` : "FUT"
  parts.append(element("span", `${instrument.name} ${day} ${MONTHS[month - 1].toUpperCase()}`), element("span", last))
  cell.replaceChildren(parts)
}
