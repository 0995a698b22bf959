// The symbol search: a combobox whose popup lists what the desk finds for what is typed.
//
// The popup lies in the top layer, below the field. State: whether it is open, what it lists (`options`) and which
// of that is active, the filters, a pick that waits for the desk's answer (Enter was faster), and what had the
// focus before. What is asked and found is the Finder's.

import {Finder, MOST_FOUND} from "./finder.js"
import {exampleElement, groupElement, hitElement, paintHit, sentenceOf} from "./hits.js"
import {readPicks, rememberPick} from "./picks.js"
import {setText} from "./tiles.js"

const POPUP_PX = 800
const POPUP_GAP_PX = 4
const POPUP_EDGE_PX = 8
const SKELETON_LINES = 8
const FULL_LIST = 1000
const SEARCH_STEPS = {ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity}

export class Search {
  constructor(view, spec, page) {
    this.view = view
    this.page = page
    this.examples = spec.examples ?? []
    this.finder = new Finder((path) => page.ask(path), () => page.now(), () => this.answered())
    this.filters = {type: "", exchange: ""}
    this.open = false
    this.options = []
    this.active = -1
    this.pending = null
    this.before = null
    this.box = null
  }

  // The view may have made its elements anew: listen to those that are there.
  attach() {
    const box = this.view.shadow_el?.querySelector("[data-search]")
    if (!box || box === this.box) return
    this.detach()
    this.box = box
    for (const name of ["input", "popup", "list", "note", "remark", "count", "said"]) this[name] = box.querySelector(`[data-search-${name}]`)
    this.off = new AbortController()
    const {signal} = this.off
    const on = (target, name, handler) => target.addEventListener(name, handler, {signal})
    on(this.input, "focus", () => this.show())
    on(this.input, "pointerdown", () => this.show())
    on(this.input, "input", () => this.typed())
    on(this.input, "keydown", (event) => this.key(event))
    on(box, "focusout", (event) => { if (!box.contains(event.relatedTarget)) this.hide() })
    // The focus stays in the field whatever is clicked.
    on(this.popup, "mousedown", (event) => event.preventDefault())
    on(this.popup, "keydown", (event) => this.popupKey(event))
    on(this.popup, "click", (event) => this.clicked(event))
    on(this.list, "pointermove", (event) => this.activate(this.indexOf(event.target)))
    on(window, "resize", () => this.place())
    if (this.view.shadow_el.activeElement === this.input) this.show()
  }

  detach() {
    this.off?.abort()
    this.open = false
  }

  stop() {
    this.detach()
    this.finder.rest()
  }

  // What was found may be of another day or source: it is asked anew.
  heard(type) {
    if (type !== "forget") return
    this.finder.forget()
    if (this.open) this.typed()
  }

  draw() {
    this.attach()
    if (!this.open) return
    this.place()
    if (this.page.list.keys !== this.keysMarked) this.markListed()
    for (const {item, row} of this.options) if (row) paintHit(item, row, this.page)
  }

  // -- open and shut ------------------------------------------------------------------------------------------

  // Give the field the focus, its text selected; what had it gets it back.
  focus() {
    this.attach()
    if (!this.input) return
    const had = focusedElement()
    if (had !== this.input) this.before = had
    this.input.focus()
    this.input.select()
  }

  show() {
    if (this.open) return
    this.open = true
    this.popup.showPopover()
    this.input.setAttribute("aria-expanded", "true")
    this.place()
    this.typed()
  }

  hide() {
    if (!this.open) return
    this.open = false
    this.pending = null
    this.finder.rest()
    this.activate(-1)
    this.popup.hidePopover()
    this.input.setAttribute("aria-expanded", "false")
    setText(this.said, "")
  }

  // Shut, empty, and the focus back where it was.
  leave() {
    this.hide()
    this.input.value = ""
    this.setFilters({type: "", exchange: ""})
    this.input.blur()
    if (this.before?.isConnected) this.before.focus({preventScroll: true})
    this.before = null
  }

  place() {
    if (!this.open) return
    const field = this.input.getBoundingClientRect()
    const width = Math.min(POPUP_PX, window.innerWidth - 2 * POPUP_EDGE_PX)
    const left = Math.max(POPUP_EDGE_PX, Math.min(field.left, window.innerWidth - POPUP_EDGE_PX - width))
    const where = [left, field.bottom + POPUP_GAP_PX, width].map((px) => `${Math.round(px)}px`)
    if (where.join() === this.placed) return
    this.placed = where.join()
    const {style} = this.popup
    ;[style.left, style.top, style.width] = where
    style.setProperty("--top", where[1])
  }

  // -- what is listed -----------------------------------------------------------------------------------------

  typed() {
    this.pending = null
    if (!this.open) return this.show()
    this.finder.want(this.input.value, this.filters)
  }

  // The finder has another outcome.
  answered() {
    if (!this.open) return
    const {phase, rows} = this.finder
    const notes = {
      asking: () => (this.options.some(({row}) => row) && this.answersShown ? null : this.skeleton()),
      failed: () => this.say(`Not searched: ${this.finder.reason}.`, "Try again", () => this.retry()),
      waiting: () => this.say(`The desk cannot search yet: ${this.finder.reason}. It is asked again by itself.`),
      idle: () => this.listPicks(),
      found: () => (rows.length ? this.listHits(rows) : this.listNothing()),
    }
    this.box.dataset.phase = phase
    notes[phase]()
    setText(this.remark, this.finder.note)
    this.tellCount()
    if (phase === "found" && this.pending && this.options.length) this.act(this.options[0], this.pending.add)
    if (phase !== "asking") this.pending = null
  }

  listHits(rows) {
    const words = this.input.value.toLowerCase().split(/[\s:,]+/).filter(Boolean)
    const options = rows.map((row) => ({row, item: hitElement(row, words)}))
    this.put(options, options.map(({item}) => item))
    this.answersShown = true
    this.activate(0)
  }

  // Nothing typed: what was picked lately, and questions to try.
  listPicks() {
    const now = this.page.market.marketNow(this.page.now())
    const picks = readPicks(now).map((row) => ({row, item: hitElement(row, [])}))
    const tries = this.examples.map((text) => ({text, item: exampleElement(text)}))
    const groups = tries.length ? [groupElement("Try", tries.map(({item}) => item))] : []
    if (picks.length) groups.unshift(groupElement("Recent", picks.map(({item}) => item)))
    this.put([...picks, ...tries], groups)
  }

  listNothing() {
    const chips = [...this.box.querySelectorAll("[aria-checked=true]")].filter((chip) => chip.dataset.value)
    const [example] = this.examples
    const words = `Nothing is called like that; try a name${example ? `, a symbol, or “${example}”` : " or a symbol"}.`
    if (!chips.length) return this.say(words)
    const among = chips.map((chip) => chip.textContent).join(", ")
    this.say(`Nothing among ${among} is called like that.`, "Search everything", () => this.setFilters({type: "", exchange: ""}))
  }

  put(options, elements) {
    this.note.firstElementChild.textContent = ""
    this.options = options
    this.active = -1
    this.answersShown = false
    options.forEach(({item}, n) => { item.id = `search-${n}` })
    this.list.replaceChildren(...elements)
    this.list.scrollTop = 0
    this.note.hidden = true
    this.list.hidden = false
    this.markListed()
    this.activate(-1)
    this.draw()
  }

  // A sentence instead of a list, and what can be done about it.
  say(text, deed = "", act = null) {
    this.put([], [])
    const [words, button] = this.note.children
    words.textContent = text
    button.textContent = deed
    button.hidden = !deed
    this.deed = act
    this.list.hidden = true
    this.note.hidden = false
  }

  skeleton() {
    this.put([], Array.from({length: SKELETON_LINES}, () => {
      const line = document.createElement("li")
      line.className = "bars"
      line.setAttribute("role", "presentation")
      line.append(...Array.from({length: 4}, () => document.createElement("i")))
      return line
    }))
  }

  retry() {
    this.finder.want(this.input.value, this.filters)
    this.finder.send()
  }

  // How many there are: below the list, and for those who do not see it.
  tellCount() {
    const {phase, rows} = this.finder
    const all = rows.length < MOST_FOUND ? `${rows.length} result${rows.length === 1 ? "" : "s"}` : `the first ${MOST_FOUND} results`
    const text = {found: rows.length ? all : "no result", asking: "searching…", failed: "not searched", waiting: "not ready", idle: ""}[phase]
    setText(this.count, text)
    const remark = this.finder.note ? `${text}: ${this.finder.note}` : text
    if (phase !== "asking") setText(this.said, this.note.hidden ? remark : this.note.firstElementChild.textContent)
  }

  // -- the active option --------------------------------------------------------------------------------------

  indexOf(target) {
    const item = target.closest("[role=option]")
    return this.options.findIndex((option) => option.item === item)
  }

  activate(index) {
    const before = this.options[this.active]?.item
    const option = this.options[index]
    if (before && before !== option?.item) before.setAttribute("aria-selected", "false")
    this.active = option ? index : -1
    if (!option) return this.input.removeAttribute("aria-activedescendant")
    option.item.setAttribute("aria-selected", "true")
    if (option.row) option.item.setAttribute("aria-label", sentenceOf(option.row, option.item, this.isListed(option.row.key)))
    this.input.setAttribute("aria-activedescendant", option.item.id)
  }

  step(by) {
    const last = this.options.length - 1
    if (last < 0) return
    const turn = Math.abs(by) === 1
    let next = this.active + by
    if (this.active < 0) next = by > 0 && by !== Infinity ? 0 : last
    else if (turn && next > last) next = 0
    else if (turn && next < 0) next = last
    this.activate(Math.max(0, Math.min(last, by === -Infinity ? 0 : next)))
    this.reveal(this.options[this.active].item)
  }

  // Only the list scrolls, never what lies around it.
  reveal(item) {
    const [top, {list}] = [item.offsetTop, this]
    if (this.active === 0) list.scrollTop = 0
    else if (top < list.scrollTop) list.scrollTop = top
    else if (top + item.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + item.offsetHeight - list.clientHeight
  }

  // -- keys and clicks ----------------------------------------------------------------------------------------

  key(event) {
    if (event.isComposing) return
    if (event.key === "Escape") return this.escape(event)
    if (event.key === "Enter") return this.enter(event)
    const by = SEARCH_STEPS[event.key]
    const changed = event.shiftKey || event.ctrlKey || event.metaKey || event.altKey
    if (by === undefined || changed) return
    if (!Number.isFinite(by) && !(this.open && this.options.length)) return
    event.preventDefault()
    if (this.open) this.step(by)
    else this.show()
  }

  escape(event) {
    event.preventDefault()
    event.stopPropagation()
    if (this.open) this.hide()
    else this.leave()
  }

  enter(event) {
    event.preventDefault()
    const add = event.shiftKey || event.ctrlKey || event.metaKey
    if (!this.open) return this.show()
    if (this.finder.phase === "asking") {
      this.pending = {add}
      return this.finder.send()
    }
    if (this.options[this.active]) this.act(this.options[this.active], add)
    else this.deed?.()
  }

  // Filters are radio buttons: the arrow keys choose, Escape goes back to the field.
  popupKey(event) {
    if (event.key === "Escape") {
      event.preventDefault()
      event.stopPropagation()
      return this.input.focus()
    }
    const group = event.target.closest("[data-filter]")
    const by = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key]
    if (!group || !by) return
    event.preventDefault()
    const chips = [...group.querySelectorAll("[role=radio]")]
    const chip = chips[(chips.indexOf(event.target) + by + chips.length) % chips.length]
    this.setFilters({...this.filters, [group.dataset.filter]: chip.dataset.value})
    chip.focus()
  }

  clicked(event) {
    const chip = event.target.closest("[role=radio]")
    if (chip) return this.setFilters({...this.filters, [chip.parentElement.dataset.filter]: chip.dataset.value})
    if (event.target.closest("button")) return this.deed?.()
    const option = this.options[this.indexOf(event.target)]
    if (option) this.act(option, "add" in event.target.dataset || event.shiftKey || event.ctrlKey || event.metaKey)
  }

  setFilters(filters) {
    this.filters = filters
    for (const group of this.box.querySelectorAll("[data-filter]")) {
      for (const chip of group.querySelectorAll("[role=radio]")) {
        const on = chip.dataset.value === filters[group.dataset.filter]
        chip.setAttribute("aria-checked", String(on))
        chip.tabIndex = on ? 0 : -1
      }
    }
    if (this.open) this.typed()
  }

  // -- what a hit is good for ---------------------------------------------------------------------------------

  act({row, text}, add) {
    if (text) {
      this.input.value = text
      return this.typed()
    }
    rememberPick(row)
    if (add) return this.add(row.key)
    this.page.select(row.key)
    this.leave()
  }

  add(key) {
    const {name, keys} = this.page.list
    if (!name) return this.notice("there is no list to add to")
    if (keys.includes(key)) return this.notice(`${key} is already in ${name}`)
    if (keys.length >= FULL_LIST) return this.notice(`${name} is full: ${FULL_LIST} instruments`)
    this.page.workspace.changeList(name, [...keys, key])
    this.notice(`${key} added to ${name}`)
    this.markListed()
    this.activate(this.active)
  }

  notice(text) {
    setText(this.count, text)
    setText(this.said, text)
  }

  isListed(key) {
    return this.page.list.keys.includes(key)
  }

  // Which of the hits the current list has.
  markListed() {
    const {name, keys} = this.page.list
    const have = new Set(keys)
    this.keysMarked = keys
    for (const {row, item} of this.options) {
      if (!row) continue
      const add = item.querySelector("[data-add]")
      const listed = have.has(row.key)
      item.toggleAttribute("data-listed", listed)
      setText(add, listed ? "✓" : "+")
      add.title = listed ? `in ${name}` : `add to ${name}`
    }
  }
}

// What has the focus, inside shadow roots too.
function focusedElement() {
  let element = document.activeElement
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement
  return element
}
