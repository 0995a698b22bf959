// The layout of the Market page: watchlist, details at the side, market below; on a narrow page one at a time.
//
// State is the workspace's `layout`; the address has the tab of a narrow page.

import {setData} from "./tiles.js"

const TABS = ["watch", "context", "dock"]
const LEAST_DOCK = 120
const STEP = 16

export class Grid {
  constructor(view, spec, page) {
    this.view = view
    this.page = page
    this.wired = false
    this.shown = ""
  }

  get layout() {
    return {context: true, dock: true, dock_height: 272, ...this.page.workspace.document.layout}
  }

  change(fields) {
    this.page.workspace.change({layout: {...this.page.workspace.document.layout, ...fields}})
  }

  show(name) {
    if (!this.layout[name]) this.change({[name]: true})
    this.page.ui.set({tab: name === "watch" ? "" : name})
  }

  toggle(name) {
    this.change({[name]: !this.layout[name]})
  }

  tab(number) {
    const name = TABS[number - 1]
    if (name) this.show(name)
  }

  draw() {
    const {context, dock, dock_height: height} = this.layout
    const tab = TABS.includes(this.page.ui.get("tab")) ? this.page.ui.get("tab") : "watch"
    const signature = [context, dock, height, tab].join()
    if (!this.wired) this.wire()
    if (signature === this.shown) return
    this.shown = signature
    const {el} = this.view
    setData(el, "context", context ? "open" : "shut")
    setData(el, "dock", dock ? "open" : "shut")
    setData(el, "tab", tab)
    el.style.setProperty("--td-dock-height", `${this.clamp(height)}px`)
    for (const button of this.buttons()) {
      const name = button.dataset.panel ?? button.dataset.tab
      const on = button.dataset.tab ? name === tab : this.layout[name]
      button.setAttribute(button.dataset.tab ? "aria-selected" : "aria-pressed", String(on))
      if (button.dataset.tab) button.tabIndex = on ? 0 : -1
    }
  }

  buttons() {
    const roots = [...this.page.targets.values()].map((target) => target.view?.shadow_el).filter(Boolean)
    return roots.flatMap((root) => [...root.querySelectorAll("[data-panel], [data-tab][role=tab]")])
  }

  clamp(height) {
    return Math.round(Math.max(LEAST_DOCK, Math.min(height, this.view.el.clientHeight - 160)))
  }

  // The bar between table and dock: drag it, or move it with the arrow keys.
  wire() {
    const bar = this.page.find("[data-splitter]")
    if (!bar) return
    this.wired = true
    for (const button of this.buttons()) {
      button.addEventListener("click", () => (button.dataset.tab ? this.show(button.dataset.tab) : this.toggle(button.dataset.panel)))
      if (button.dataset.tab) button.addEventListener("keydown", (event) => this.tabKey(event))
    }
    bar.addEventListener("pointerdown", (event) => {
      bar.setPointerCapture(event.pointerId)
      const start = {y: event.clientY, height: this.clamp(this.layout.dock_height)}
      const move = (e) => this.view.el.style.setProperty("--td-dock-height", `${this.clamp(start.height + start.y - e.clientY)}px`)
      const end = (e) => {
        bar.removeEventListener("pointermove", move)
        this.change({dock_height: this.clamp(start.height + start.y - e.clientY)})
      }
      bar.addEventListener("pointermove", move)
      bar.addEventListener("pointerup", end, {once: true})
      bar.addEventListener("pointercancel", end, {once: true})
    })
    bar.addEventListener("keydown", (event) => {
      const by = {ArrowUp: STEP, ArrowDown: -STEP}[event.key]
      if (!by) return
      event.preventDefault()
      event.stopPropagation()
      this.change({dock_height: this.clamp(this.layout.dock_height + by)})
    })
  }

  tabKey(event) {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key]
    if (!by) return
    event.preventDefault()
    event.stopPropagation()
    const at = TABS.indexOf(this.page.ui.get("tab") || "watch")
    this.show(TABS[(at + by + TABS.length) % TABS.length])
    this.page.draw()
    this.page.find(`[data-tab="${this.page.ui.get("tab") || "watch"}"]`)?.focus()
  }
}
