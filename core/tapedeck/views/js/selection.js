// The selected rows of the live table, by key: they survive sorting, scrolling and a restarted desk. Another list keeps
// of them the instrument the page is about, if it has it.
//
// State: the lead (the instrument the page is about) is the page's; here lie the further rows, the list they are of and
// the anchor of a range. Copying gives tab-separated text of the rows as the table has them.

import {clockText, dayText} from "./format.js"

const ACTIONS = [
  ["details", "Details (D)", "i"],
  ["top", "Move to the top", "⤒"],
  ["remove", "Remove from the list (Delete)", "×"],
]

export class Selection {
  constructor(table) {
    this.table = table
    this.keys = new Set()
    this.list = ""
    this.anchor = ""
  }

  get page() {
    return this.table.page
  }

  listen(tabulator) {
    tabulator.on("rowClick", (event, row) => this.click(event, row._row.data.key))
  }

  click(event, key) {
    const action = event.composedPath()[0].closest?.("[data-row-act]")?.dataset.rowAct
    if (action) return this.act(action, key)
    this.keep()
    if (event.shiftKey && this.anchor) this.range(key)
    else if (event.ctrlKey || event.metaKey) this.toggle(key)
    else this.only(key)
    this.page.draw()
  }

  only(key) {
    this.list = this.page.list.name
    this.keys = new Set([key])
    this.anchor = key
    this.page.select(key)
  }

  toggle(key) {
    const {selected} = this.page
    this.keep()
    if (!this.keys.size && selected) this.keys.add(selected)
    if (this.keys.has(key) && this.keys.size > 1) this.keys.delete(key)
    else this.keys.add(key)
    this.anchor = key
    this.page.select(this.keys.has(key) ? key : [...this.keys].at(-1))
  }

  // Rows chosen here belong together with the instrument chosen here and with their list: another instrument, chosen
  // elsewhere, or another list ends that.
  keep() {
    const {selected, list} = this.page
    if (this.list !== list.name) this.anchor = selected
    if (this.list !== list.name || !this.keys.has(selected)) this.keys = new Set()
    this.list = list.name
  }

  range(key) {
    const order = this.order()
    const [from, to] = [order.indexOf(this.anchor), order.indexOf(key)].sort((a, b) => a - b)
    if (from < 0) return this.only(key)
    this.keys = new Set(order.slice(from, to + 1))
    this.page.select(key)
  }

  all() {
    this.keep()
    this.keys = new Set(this.order())
    this.page.draw()
  }

  // Keys in the order shown.
  order() {
    return (this.table.tabulator?.rowManager.getDisplayRows() ?? []).map((row) => row.data.key)
  }

  // The selected rows that the table shows, in its order.
  chosen() {
    this.keep()
    const {selected} = this.page
    return this.order().filter((key) => this.keys.has(key) || key === selected)
  }

  // `step` may be a number of rows, "first" or "last"; `extend` keeps what lies between.
  move(step, {extend = false} = {}) {
    const order = this.order()
    if (!order.length) return
    const at = order.indexOf(this.page.selected)
    let next = at < 0 ? 0 : at + step
    if (step === "first") next = 0
    if (step === "last") next = order.length - 1
    const key = order[Math.max(0, Math.min(order.length - 1, next))]
    this.keep()
    if (extend && this.anchor) this.range(key)
    else this.only(key)
    this.reveal(key)
    this.page.draw()
  }

  reveal(key) {
    const holder = this.table.tabulator.rowManager.element
    const height = this.table.tabulator.options.rowHeight
    const top = this.order().indexOf(key) * height
    if (top < holder.scrollTop) holder.scrollTop = top
    else if (top + height > holder.scrollTop + holder.clientHeight) holder.scrollTop = top + height - holder.clientHeight
  }

  act(action, key) {
    const lists = this.page.parts("lists")[0]
    if (action === "remove") lists?.remove([key])
    else if (action === "top") lists?.toTop(key)
    else {
      this.only(key)
      this.page.parts("grid")[0]?.show("context")
    }
  }

  // -- drawing ------------------------------------------------------------------------------------------------

  paint(entry, element) {
    const lead = entry.key === this.page.selected
    const together = this.list === this.page.list.name && this.keys.has(this.page.selected)
    const chosen = lead || (together && this.keys.has(entry.key))
    element.classList.toggle("td-selected", chosen)
    element.classList.toggle("td-lead", lead)
    const said = String(chosen)
    if (element.getAttribute("aria-selected") !== said) element.setAttribute("aria-selected", said)
  }

  // The buttons of a row, shown on hover in room that is always there.
  actions(entry, element) {
    if (element.lastElementChild?.className === "td-acts") return
    const holder = document.createElement("span")
    holder.className = "td-acts"
    for (const [name, title, sign] of ACTIONS) {
      const button = holder.appendChild(document.createElement("button"))
      button.dataset.rowAct = name
      button.title = title
      button.tabIndex = -1
      button.setAttribute("aria-label", `${title}: ${entry.key}`)
      button.textContent = sign
    }
    element.appendChild(holder)
  }

  // -- copying ------------------------------------------------------------------------------------------------

  // Rows as text: a heading, then one line each; numbers are plain, what is blank stays empty.
  text(keys, separator, quote = (value) => value) {
    const columns = this.table.columns.filter((spec) => this.table.tabulator.columnManager.findColumn(spec.field)?.visible)
    const numeric = columns.filter((spec) => spec.kind !== "text" && spec.kind !== "spark" && spec.kind !== "age")
    const {market} = this.page
    const now = market.marketNow(this.page.now())
    const at = Number.isFinite(now) ? `${dayText(now)} ${clockText(now)} IST` : "desk not heard"
    const lines = [["instrument", "name", ...numeric.map((spec) => spec.field), "state", "as_of", "source"]]
    for (const key of keys) {
      const entry = this.table.byKey.get(key)
      if (!entry) continue
      const cells = numeric.map((spec) => plainNumber(entry.numbers[spec.field]))
      const state = entry.reason ? `${entry.mode}: ${entry.reason}` : entry.mode
      lines.push([key, entry.row.data.name, ...cells, state, at, market.source])
    }
    return lines.map((line) => line.map((value) => quote(String(value))).join(separator)).join("\n") + "\n"
  }

  // Copy the selected rows, or all when none is selected, as tab-separated text.
  async copy() {
    const keys = this.chosen().length ? this.chosen() : this.order()
    if (!keys.length) return
    const text = this.text(keys, "\t", (value) => plainCell(value.replace(/[\t\r\n]/g, " ")))
    const done = await copyText(text)
    this.page.shell?.say(done ? `${keys.length} row${keys.length === 1 ? "" : "s"} copied` : "copying was not allowed by the browser")
  }
}

// Text that a spreadsheet cannot take for a formula; a plain number stays one.
export function plainCell(value) {
  return /^[=+\-@\t\r]/.test(value) && !/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/.test(value) ? `'${value}` : value
}

const plainNumber = (value) => (Number.isFinite(value) ? String(Math.round(value * 1e6) / 1e6) : "")

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}
