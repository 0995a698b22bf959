// The named watchlists: tabs, and everything that changes a list. Lists belong to the workspace, so every tab of
// every page shows the same; nothing here asks Python.
//
// State: the signature of what is drawn, and whether anything was. Dialogs are made once, in the page's top layer.

import {setData, setText, toggles} from "./tiles.js"
import {chooseColumns, nameDialog, pasteDialog} from "./dialogs.js"
import {plainCell} from "./selection.js"
import {isText, parseSymbols} from "./symbols.js"

const MOST_KEYS = 1000
const MOST_KEYS_IN_ALL = 3000
const NAME_LONGEST = 40
const MOST_LISTS = 40

export class Lists {
  constructor(view, spec, page) {
    this.view = view
    this.page = page
    this.root = view.shadow_el
    this.signature = ""
    this.drawn = false
    this.names = new Map(spec.columns.map((one) => [one.field, one.title]))
    this.columns = spec.columns
    this.wire()
  }

  wire() {
    const $ = (selector) => this.root.querySelector(selector)
    $("[data-tabs]").addEventListener("click", (event) => {
      const tab = event.target.closest("[role=tab]")
      if (tab) this.show(tab.dataset.list)
    })
    $("[data-tabs]").addEventListener("keydown", (event) => this.tabKey(event))
    $("[data-td-filter]").addEventListener("input", (event) => this.page.tables().forEach((table) => table.filter(event.target.value)))
    $("[data-td-filter]").value = this.page.ui.get("filter")
    for (const button of this.root.querySelectorAll("[data-list-act]")) {
      button.addEventListener("click", () => {
        $("[data-menu]").hidePopover?.()
        this.act(button.dataset.listAct)
      })
    }
    toggles($("[data-menu-button]"), $("[data-menu]"), () => this.placeMenu())
    $("[data-clear-sort]").addEventListener("click", () => {
      this.page.tables().forEach((table) => table.clearSort())
      this.page.ui.set({sort: ""})
    })
    $("input[type=file]").addEventListener("change", (event) => this.importFile(event.target))
  }

  placeMenu() {
    const button = this.root.querySelector("[data-menu-button]")
    const menu = this.root.querySelector("[data-menu]")
    const box = button.getBoundingClientRect()
    menu.style.left = `${Math.round(Math.min(box.left, window.innerWidth - 232))}px`
    menu.style.top = `${Math.round(box.bottom + 2)}px`
    menu.querySelector("button").focus()
  }

  act(name) {
    const acts = {
      add: () => this.page.find("[data-search-input]")?.focus(),
      create: () => this.create(),
      rename: () => this.rename(),
      delete: () => this.deleteList(),
      paste: () => this.paste(),
      import: () => this.root.querySelector("input[type=file]").click(),
      export: () => this.exportFile(),
      copy: () => this.page.tables()[0]?.copy(),
      columns: () => chooseColumns(this.page, this.columns),
      left: () => this.moveList(-1),
      right: () => this.moveList(1),
    }
    acts[name]?.()
  }

  // -- lists ----------------------------------------------------------------------------------------------------

  get current() {
    return this.page.list
  }

  show(name) {
    this.page.ui.set({list: name === this.page.workspace.lists[0]?.name ? "" : name})
  }

  // An address may name a list that is gone: said once, then the address is of the list that is shown.
  checkAddress() {
    const name = this.page.ui.get("list")
    if (!name || this.page.list.name.toLowerCase() === name.toLowerCase()) return
    this.page.shell?.say(`no list named ${name}`)
    this.page.ui.set({list: ""})
  }

  // The next list, or the one before; round at the ends.
  step(by) {
    const {lists} = this.page.workspace
    const at = lists.findIndex((one) => one.name === this.current.name)
    this.show(lists[(at + by + lists.length) % lists.length].name)
  }

  tabKey(event) {
    const moves = {ArrowRight: 1, ArrowLeft: -1}
    if (!(event.key in moves)) return
    event.preventDefault()
    event.stopPropagation()
    this.step(moves[event.key])
    this.page.draw()
    this.root.querySelector("[role=tab][aria-selected=true]")?.focus()
  }

  nameProblem(name, except = "") {
    const {lists} = this.page.workspace
    if (!name.trim()) return "a list needs a name"
    if (/\p{C}/u.test(name)) return "a name has printable characters only"
    if (!except && lists.length >= MOST_LISTS) return `there are ${MOST_LISTS} lists already; delete one first`
    if (name.length > NAME_LONGEST) return `a name has at most ${NAME_LONGEST} characters`
    const taken = lists.some((one) => one.name.toLowerCase() === name.trim().toLowerCase() && one.name !== except)
    return taken ? `there is a list ${name.trim()} already` : ""
  }

  create() {
    nameDialog(this.page, {
      title: "New watchlist", value: "", check: (name) => this.nameProblem(name),
      done: (name) => {
        this.page.workspace.change({lists: [...this.page.workspace.lists, {name: name.trim(), keys: []}]})
        this.show(name.trim())
      },
    })
  }

  rename() {
    const old = this.current.name
    nameDialog(this.page, {
      title: `Rename ${old}`, value: old, check: (name) => this.nameProblem(name, old),
      done: (name) => {
        const lists = this.page.workspace.lists.map((one) => (one.name === old ? {...one, name: name.trim()} : one))
        this.page.ui.set({list: name.trim()})
        this.page.workspace.change({lists})
      },
    })
  }

  deleteList() {
    const {lists} = this.page.workspace
    if (lists.length < 2) return this.page.shell?.say("the last list stays")
    const gone = this.current
    const at = lists.indexOf(gone)
    this.page.workspace.change({lists: lists.filter((one) => one !== gone)})
    this.show(lists[at ? at - 1 : 1].name)
    this.page.shell?.say(`${gone.name} deleted`, {undo: () => {
      const now = [...this.page.workspace.lists]
      now.splice(at, 0, gone)
      this.page.workspace.change({lists: now})
      this.show(gone.name)
    }})
  }

  moveList(by) {
    const lists = [...this.page.workspace.lists]
    const at = lists.findIndex((one) => one.name === this.current.name)
    const to = at + by
    if (to < 0 || to >= lists.length) return
    const name = this.current.name
    lists.splice(to, 0, ...lists.splice(at, 1))
    this.page.ui.set({list: name})
    this.page.workspace.change({lists})
  }

  // -- rows of the current list -----------------------------------------------------------------------------------

  change(keys, words) {
    const {name, keys: before} = this.current
    this.page.workspace.changeList(name, keys)
    if (words) this.page.shell?.say(words, {undo: () => this.undo(name, before, keys)})
  }

  // Take back one change, of which rows there are or of their order; what was added or removed since then stays so.
  undo(name, before, after) {
    const list = this.page.workspace.lists.find((one) => one.name === name)
    if (!list) return this.page.shell?.say(`there is no list ${name} any more`)
    const gone = new Set(before.filter((key) => !after.includes(key)))
    const added = new Set(after.filter((key) => !before.includes(key)))
    if (!gone.size && !added.size) return this.page.workspace.changeList(name, reordered(list.keys, before))
    const keys = list.keys.filter((key) => !added.has(key))
    before.forEach((key, at) => { if (gone.has(key) && !keys.includes(key)) keys.splice(Math.min(at, keys.length), 0, key) })
    this.page.workspace.changeList(name, keys)
  }

  // Those of `keys` that the current list lacks.
  fresh(keys) {
    const have = new Set(this.current.keys)
    return keys.filter((key) => !have.has(key))
  }

  // Why these cannot be added to the current list; "" when they can.
  roomProblem(keys) {
    const {keys: have, name} = this.current
    const all = this.page.workspace.lists.reduce((sum, one) => sum + one.keys.length, 0)
    const room = Math.min(MOST_KEYS - have.length, MOST_KEYS_IN_ALL - all)
    const {length} = this.fresh(keys)
    return length > room ? `${name} has room for ${room} more; ${length} were given` : ""
  }

  add(keys) {
    const {keys: have, name} = this.current
    const fresh = this.fresh(keys)
    const problem = this.roomProblem(keys)
    if (problem) return this.page.shell?.say(problem)
    if (fresh.length) this.change([...have, ...fresh], `${fresh.length} added to ${name}`)
    else this.page.shell?.say(`all of them are in ${name} already`)
  }

  remove(keys) {
    const gone = new Set(keys)
    const order = this.page.tables()[0]?.selection.order() ?? []
    const rest = order.filter((key) => !gone.has(key))
    const at = order.findIndex((key) => gone.has(key))
    this.change(this.current.keys.filter((key) => !gone.has(key)), `${keys.length === 1 ? keys[0] : `${keys.length} rows`} removed`)
    if (gone.has(this.page.selected)) this.page.tables()[0]?.selection.only(rest[Math.min(at, rest.length - 1)] ?? "")
  }

  removeSelected() {
    const keys = this.page.tables()[0]?.selection.chosen() ?? []
    if (keys.length) this.remove(keys)
  }

  toTop(key) {
    if (this.sortedSay()) return
    if (this.current.keys[0] === key) return
    this.change([key, ...this.current.keys.filter((one) => one !== key)], `${key} moved to the top`)
  }

  // Move the selected row up or down in the list.
  shift(by) {
    if (this.sortedSay()) return
    const keys = [...this.current.keys]
    const at = keys.indexOf(this.page.selected)
    const to = at + by
    if (at < 0 || to < 0 || to >= keys.length) return
    keys.splice(to, 0, ...keys.splice(at, 1))
    this.change(keys, `${this.page.selected} moved`)
    this.page.draw()
    this.page.tables()[0]?.selection.reveal(this.page.selected)
  }

  sortedSay() {
    const sorted = !!this.page.ui.get("sort")
    if (sorted) this.page.shell?.say("the table is sorted: clear the sort to move rows")
    return sorted
  }

  // -- files ------------------------------------------------------------------------------------------------------

  paste(options = {}) {
    pasteDialog(this.page, (keys) => this.add(keys), {...options, problem: (keys) => this.roomProblem(keys)})
  }

  async importFile(input) {
    const file = input.files[0]
    input.value = ""
    if (!file) return
    if (file.size > 1 << 20) return this.page.shell?.say(`${file.name} is larger than 1 MB: not a list of symbols`)
    const text = await file.text()
    if (!isText(text)) return this.page.shell?.say(`${file.name} is not a text file: save it as CSV in UTF-8`)
    const {keys, unread} = parseSymbols(text)
    this.paste({text: [...keys, ...unread].join("\n"), from: file.name})
  }

  exportFile() {
    const table = this.page.tables()[0]
    if (!table) return
    const text = table.selection.text(this.current.keys, ",", csvCell)
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob([text], {type: "text/csv"}))
    link.download = `${this.current.name.replace(/[^\w -]/g, "_")}.csv`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  }

  // -- drawing ----------------------------------------------------------------------------------------------------

  draw(page) {
    if (!this.drawn) queueMicrotask(() => this.checkAddress())
    this.drawn = true
    this.drawTabs(page)
    const sort = page.ui.get("sort")
    const chip = this.root.querySelector("[data-clear-sort]")
    const paused = page.tables().some((table) => table.orderPaused)
    const [field, dir] = sort.split(".")
    const said = sort ? `${dir === "asc" ? "↑" : "↓"} ${this.names.get(field) ?? field}${paused ? " · order paused" : ""}` : ""
    if (chip.tapedeckText !== said) requestAnimationFrame(() => this.revealTab())
    setText(chip, said)
    chip.toggleAttribute("data-on", !!sort)
    setData(chip, "paused", paused ? "yes" : "")
  }

  drawTabs(page) {
    const {lists} = page.workspace
    const signature = JSON.stringify([lists.map((one) => [one.name, one.keys.length]), page.list.name])
    if (signature === this.signature) return
    this.signature = signature
    const holder = this.root.querySelector("[data-tabs]")
    const focused = this.root.activeElement?.role === "tab"
    holder.replaceChildren(...lists.map((one) => listTab(one, one.name === page.list.name)))
    this.revealTab()
    if (focused) holder.querySelector("[aria-selected=true]")?.focus()
  }

  revealTab() {
    this.root.querySelector("[role=tab][aria-selected=true]")?.scrollIntoView({block: "nearest", inline: "nearest"})
  }
}

// `keys` in the order of `before`, those it lacks at the end.
function reordered(keys, before) {
  const have = new Set(keys)
  const known = before.filter((key) => have.has(key))
  const old = new Set(known)
  return [...known, ...keys.filter((key) => !old.has(key))]
}

function listTab({name, keys}, active) {
  const tab = document.createElement("button")
  tab.role = "tab"
  tab.dataset.list = name
  tab.setAttribute("aria-selected", String(active))
  tab.tabIndex = active ? 0 : -1
  tab.textContent = name
  const count = tab.appendChild(document.createElement("small"))
  count.textContent = String(keys.length)
  return tab
}

const csvCell = (value) => {
  const text = plainCell(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
