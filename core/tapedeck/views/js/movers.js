// The movers: gainers, losers, most active and open-interest build-up, side by side or behind tabs, as there is room.
//
// State of Movers: its slots; of a slot: the lists it may show, which one it shows, its rows with the keys they bear,
// and whether their order is kept because somebody is about to choose one. Rows are made on resize only.

import {BLANK, directionOf, fixed, percent, price, quantity, whole} from "./format.js"
import {setData, setText} from "./tiles.js"

// Rows are as high as those of a dense table, and higher where all of them have the room.
const MOVER_ROW_PX = 24
const TALL_ROW_PX = 28
const SLOT_HEAD_PX = 24
const SLOT_LEAST_PX = 256
const STACK_LEAST_ROWS = 5
const MOST_ROWS = 10
// So long after a key was pressed in a list its order is kept, as it is while the pointer is in it.
const ORDER_KEPT_MS = 5000
const RUPEES_PER_CRORE = 1e7

const valueText = (row) => (row.value === null ? BLANK : fixed(row.value / RUPEES_PER_CRORE, row.value < 1e9 ? 1 : 0))
// A share that has left every list: nothing is known of it any more.
const NOTHING = {last_price: null, percent: null, volume_traded: null, value: null, oi: null, oi_percent: null}
const volumeTitle = (row) => `volume ${whole(row.volume_traded)}`

const MOVER_LISTS = {
  gainers: {
    title: "Gainers", short: "Gainers", hint: "largest rises since the previous close", measure: "Volume",
    none: "nothing has risen", text: (row) => quantity(row.volume_traded), full: volumeTitle,
  },
  losers: {
    title: "Losers", short: "Losers", hint: "largest falls since the previous close", measure: "Volume",
    none: "nothing has fallen", text: (row) => quantity(row.volume_traded), full: volumeTitle,
  },
  active: {
    title: "Most active", short: "Active", hint: "largest value traded: volume × average price", measure: "₹ Cr",
    none: "nothing has traded", text: valueText, full: (row) => `value traded ₹ ${whole(row.value)}`,
  },
  oi: {
    title: "OI build-up", short: "OI", hint: "largest changes of open interest in near-month futures", measure: "OI %",
    none: "no future is of this kind", text: (row) => percent(row.oi_percent, 1),
    full: (row) => `open interest ${whole(row.oi)}, ${percent(row.oi_percent)} since the previous close`,
  },
}

const BUILD_UP_KINDS = {
  long_buildup: ["Long build-up", "price ▲ OI ▲", "buyers open new positions"],
  short_buildup: ["Short build-up", "price ▼ OI ▲", "sellers open new positions"],
  short_covering: ["Short covering", "price ▲ OI ▼", "sellers buy back and leave"],
  long_unwinding: ["Long unwinding", "price ▼ OI ▼", "buyers sell and leave"],
}

// Columns, rows of lists and the lists of each slot for a room of this size; every list can be reached.
export function slotPlan(width, height) {
  let columns = Math.max(1, Math.min(4, Math.floor(width / SLOT_LEAST_PX)))
  const most = Math.floor(height / (SLOT_HEAD_PX + STACK_LEAST_ROWS * MOVER_ROW_PX))
  const stack = Math.max(1, Math.min(Math.ceil(4 / columns), most))
  if (columns === 3 && stack === 2) columns = 2
  const slots = Math.min(4, columns * stack)
  const all = Object.keys(MOVER_LISTS)
  const lists = {1: [all], 2: [all.slice(0, 2), all.slice(2)], 3: [["gainers"], ["losers"], ["active", "oi"]]}
  return {columns, stack, lists: lists[slots] ?? all.map((id) => [id])}
}

function newElement(tag, className, attributes = {}) {
  const made = document.createElement(tag)
  if (className) made.className = className
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

class MoverSlot {
  // `owner` is the Movers; `ids` the lists that this slot may show.
  constructor(owner, ids, number) {
    this.owner = owner
    this.ids = ids
    this.id = ids[0]
    this.rows = []
    this.at = 0
    this.pointerInside = false
    this.keyAt = -Infinity
    this.element = newElement("section", "slot")
    this.head = newElement("div", "slot-head")
    this.measure = newElement("span", "measure")
    this.kinds = ids.includes("oi") ? this.kindBar() : null
    this.list = newElement("ol", "rows")
    this.note = newElement("p", "note")
    this.panel = newElement("div", "panel", {id: `movers-panel-${number}`})
    this.tabs = ids.length > 1 ? this.tabList(number) : []
    if (!this.tabs.length) this.head.append(this.heading())
    this.head.append(this.measure)
    this.panel.append(...(this.kinds ? [this.kinds.element] : []), this.list, this.note)
    this.element.append(this.head, this.panel)
    this.listen()
  }

  heading() {
    const heading = newElement("h3", "", {title: MOVER_LISTS[this.id].hint})
    heading.textContent = MOVER_LISTS[this.id].title
    return heading
  }

  tabList(number) {
    const list = newElement("div", "tabs", {role: "tablist", "aria-label": "Movers"})
    const tabs = this.ids.map((id) => {
      const {title, short, hint} = MOVER_LISTS[id]
      const tab = newElement("button", "tab", {
        type: "button", role: "tab", id: `movers-tab-${id}`, title: `${title}: ${hint}`,
        "aria-controls": `movers-panel-${number}`,
      })
      tab.textContent = this.ids.length > 2 ? short : title
      tab.ariaLabel = title
      tab.addEventListener("click", () => this.owner.choose(id))
      return tab
    })
    list.append(...tabs)
    list.addEventListener("keydown", (event) => {
      const [at, count] = [this.ids.indexOf(this.id), this.ids.length]
      const moves = {ArrowRight: (at + 1) % count, ArrowLeft: (at - 1 + count) % count, Home: 0, End: count - 1}
      const next = moves[event.key]
      if (next === undefined) return
      this.owner.choose(this.ids[next])
      tabs[next].focus()
      event.preventDefault()
    })
    this.head.append(list)
    this.panel.setAttribute("role", "tabpanel")
    return tabs
  }

  // Which kind of build-up, and what it means.
  kindBar() {
    const element = newElement("div", "kinds")
    const choice = newElement("select", "", {"aria-label": "Kind of open-interest build-up"})
    for (const [id, [title]] of Object.entries(BUILD_UP_KINDS)) choice.append(new Option(title, id))
    const hint = newElement("span", "hint")
    choice.addEventListener("change", () => this.owner.chooseKind(choice.value))
    element.append(choice, hint)
    return {element, choice, hint}
  }

  listen() {
    const rowOf = (event) => this.rows[event.target.closest?.(".row")?.dataset.at]
    this.list.addEventListener("pointerenter", (event) => { this.pointerInside = event.pointerType === "mouse" })
    this.list.addEventListener("pointerleave", () => { this.pointerInside = false; this.owner.changed() })
    this.list.addEventListener("pointerover", (event) => this.explain(rowOf(event)))
    this.list.addEventListener("click", (event) => this.choose(rowOf(event)))
    this.list.addEventListener("focusin", (event) => { this.stand(rowOf(event)); this.explain(rowOf(event)) })
    this.list.addEventListener("keydown", (event) => this.key(event, rowOf(event)))
  }

  key(event, row) {
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return
    const last = this.rows.findLastIndex((one) => one.key)
    const to = {ArrowDown: row.at + 1, ArrowUp: row.at - 1, Home: 0, End: last, PageDown: last, PageUp: 0}[event.key]
    const aside = {ArrowLeft: -1, ArrowRight: 1}[event.key]
    if (event.key === "Enter" || event.key === " ") this.choose(row)
    else if (aside) this.owner.goTo(this, aside, row.at)
    else if (to === undefined) return
    else this.focus(Math.min(Math.max(to, 0), last))
    this.keyAt = this.owner.page.now()
    event.preventDefault()
  }

  focus(at) {
    const row = this.rows[at]
    if (!row?.key) return false
    this.keyAt = this.owner.page.now()
    row.button.focus()
    return true
  }

  choose(row) {
    if (row?.key) this.owner.page.select(row.key)
  }

  // The Tab key stops once in a list, where the arrows have led to.
  stand(row) {
    if (!row) return
    if (this.rows[this.at]) this.rows[this.at].button.tabIndex = -1
    this.at = row.at
    row.button.tabIndex = 0
  }

  // Rounded numbers in full; written when somebody looks.
  explain(row) {
    if (!row?.data) return
    row.button.title = `${row.key}: ${MOVER_LISTS[this.id].full(row.data)}`
  }

  resize(height) {
    const px = height - SLOT_HEAD_PX >= MOST_ROWS * TALL_ROW_PX ? TALL_ROW_PX : MOVER_ROW_PX
    const room = Math.floor((height - SLOT_HEAD_PX) / px)
    const wanted = Math.max(1, Math.min(MOST_ROWS, room - (this.id === "oi" ? 1 : 0)))
    this.height = height
    this.element.style.setProperty("--mover-row", `${px}px`)
    while (this.rows.length > wanted) this.rows.pop().item.remove()
    while (this.rows.length < wanted) this.addRow()
    if (this.at >= wanted) this.stand(this.rows[0])
  }

  addRow() {
    const at = this.rows.length
    const item = newElement("li")
    const button = newElement("button", "row", {type: "button", tabindex: at === this.at ? "0" : "-1", "data-at": at})
    const numbers = ["last_price", "percent", "measure"].map((name) => newElement("span", name, {"data-number": ""}))
    const cells = [newElement("span", "symbol"), ...numbers]
    // A space between the cells keeps them apart in the button's accessible name.
    button.append(...cells.flatMap((cell) => [cell, " "]))
    item.append(button)
    this.list.append(item)
    this.rows.push({at, item, button, cells, key: "", data: null})
  }

  show(id) {
    this.id = id
    const {measure, title, hint} = MOVER_LISTS[id]
    this.element.ariaLabel = title
    this.list.ariaLabel = title
    this.measureName = measure
    this.measure.title = hint
    if (this.kinds) this.kinds.element.hidden = id !== "oi"
    for (const [at, tab] of this.tabs.entries()) {
      tab.ariaSelected = String(this.ids[at] === id)
      tab.tabIndex = this.ids[at] === id ? 0 : -1
      if (this.ids[at] === id) this.panel.setAttribute("aria-labelledby", tab.id)
    }
    if (this.height) this.resize(this.height)
    this.forgetOrder()
  }

  // Another list: none of its order has been seen.
  forgetOrder() {
    this.keyAt = -Infinity
    for (const row of this.rows) row.key = ""
  }

  showKind(kind) {
    if (!this.kinds) return
    const [title, signs, meaning] = BUILD_UP_KINDS[kind]
    const words = signs.replace("OI", "and open interest").replaceAll("▲", "up").replaceAll("▼", "down")
    this.kinds.choice.value = kind
    this.kinds.element.title = `${title}: ${words}; ${meaning}`
    setText(this.kinds.hint, `${signs} · ${meaning}`)
    if (this.id === "oi") this.forgetOrder()
  }

  get keepsOrder() {
    return this.pointerInside || this.owner.page.now() - this.keyAt < ORDER_KEPT_MS
  }

  // Write the list into the rows. `find(key)` gives the newest row of a key that has left the list.
  update(mode, data, find, note, known) {
    const shown = ["live", "late", "closed"].includes(mode)
    const room = this.rows.length - (note && data.length ? 1 : 0)
    let rows = shown ? data.slice(0, room) : []
    const kept = this.rows.map((row) => row.key).filter(Boolean)
    this.paused = shown && this.keepsOrder && kept.length > 0 && kept.join() !== rows.map((row) => row.key).join()
    if (this.paused) rows = kept.map((key) => find(key) ?? {...NOTHING, key, symbol: this.symbols.get(key)})
    else this.symbols = new Map(rows.map((row) => [row.key, row.symbol]))
    for (const row of this.rows) this.paint(row, rows[row.at] ?? null, mode, shown)
    this.element.toggleAttribute("data-bare", shown && !rows.length)
    setText(this.measure, this.paused ? "order paused" : this.measureName)
    setText(this.note, shown ? note || (rows.length ? "" : `${MOVER_LISTS[this.id].none}${known}`) : "")
  }

  paint(row, data, mode, shown) {
    const {button, cells: [symbol, last, change, measure]} = row
    row.data = data
    row.key = data?.key ?? ""
    const empty = mode === "loading" ? "" : BLANK
    const moved = data ? percent(data.percent) : empty
    button.toggleAttribute("data-empty", shown && !data)
    setText(symbol, data ? data.symbol : empty)
    setText(last, data ? price(data.last_price) : empty)
    setText(change, moved)
    setData(change, "direction", directionOf(moved))
    setText(measure, data ? MOVER_LISTS[this.id].text(data) : empty)
    // Without any text the row still has a name.
    const label = mode === "loading" ? "loading" : null
    if (button.ariaLabel !== label) button.ariaLabel = label
    const disabled = String(!data)
    if (button.ariaDisabled !== disabled) button.ariaDisabled = disabled
    const current = String(data !== null && row.key === this.owner.page.selected)
    if (button.ariaCurrent !== current) button.ariaCurrent = current
    if (!data && button.title) button.title = ""
  }
}

export class Movers {
  // `changed()` is called when what is shown has to be written anew before the next message.
  constructor(root, page, changed) {
    this.root = root
    this.page = page
    this.changed = changed
    this.slots = []
    this.plan = ""
  }

  // The viewer's choice lies in the workspace's layout: lists in the order chosen last, and the kind of build-up.
  get choice() {
    const {movers = "", build_up = ""} = this.page.workspace.document.layout
    const known = Object.hasOwn(BUILD_UP_KINDS, build_up)
    return {recent: String(movers).split(","), kind: known ? build_up : Object.keys(BUILD_UP_KINDS)[0]}
  }

  choose(id) {
    const recent = [id, ...this.choice.recent.filter((one) => Object.hasOwn(MOVER_LISTS, one) && one !== id)]
    this.remember({movers: recent.join()})
  }

  chooseKind(kind) {
    this.remember({build_up: kind})
  }

  remember(fields) {
    this.page.workspace.change({layout: {...this.page.workspace.document.layout, ...fields}})
    this.changed()
  }

  // As many lists side by side as the room has.
  layout() {
    const {clientWidth: width, clientHeight: height} = this.root
    if (!width || !height) return
    const plan = slotPlan(width, height)
    const text = JSON.stringify(plan)
    if (text !== this.plan) {
      this.plan = text
      this.slots = plan.lists.map((ids, number) => new MoverSlot(this, ids, number))
      this.root.replaceChildren(...this.slots.map((slot) => slot.element))
      this.root.style.setProperty("--columns", plan.columns)
      this.root.style.setProperty("--stack", plan.stack)
      this.chosen = ""
    }
    this.follow()
    for (const slot of this.slots) slot.resize(slot.element.clientHeight)
  }

  // Show in every slot the list of its own that was chosen last.
  follow() {
    const {recent, kind} = this.choice
    const chosen = `${recent.join()} ${kind}`
    if (chosen === this.chosen) return
    this.chosen = chosen
    for (const slot of this.slots) {
      slot.show(recent.find((id) => slot.ids.includes(id)) ?? slot.ids[0])
      slot.showKind(kind)
    }
  }

  // Whether some list stands still for now: it has to be looked at again before the next message.
  get paused() {
    return this.slots.some((slot) => slot.paused)
  }

  update(mode, overview) {
    this.follow()
    const {kind} = this.choice
    const lists = overview ? {...overview, oi: overview.oi[kind]} : {gainers: [], losers: [], active: [], oi: []}
    const find = (key) => Object.keys(MOVER_LISTS).flatMap((id) => lists[id]).find((row) => row.key === key)
    for (const slot of this.slots) {
      const oi = slot.id === "oi"
      slot.update(mode, lists[slot.id], find, oi && overview ? oiNote(overview, lists.oi) : "", oi ? "" : knownNote(overview))
    }
  }

  goTo(slot, step, at) {
    const next = this.slots[this.slots.indexOf(slot) + step]
    if (next && !next.focus(at)) next.focus(0)
  }
}

// Of how many an empty list is the truth; empty when of all.
function knownNote(overview) {
  const {current = 0, count = 0} = overview?.universe ?? {}
  return current < count ? `, of ${current} of ${count} known` : ""
}

// Why the build-up is not the whole picture; empty when it is.
function oiNote({oi_held, oi_reason, oi_known, oi_universe, universe}, rows) {
  if (oi_held === false && oi_reason) return oi_reason
  const count = oi_universe?.count ?? universe.count
  // A future whose own packet is still awaited is of no kind yet, whatever is known of the day before.
  const known = rows.length ? oi_known : Math.min(oi_known, oi_universe?.current ?? oi_known)
  return known < count ? `OI of ${known} of ${count} futures known yet` : ""
}
