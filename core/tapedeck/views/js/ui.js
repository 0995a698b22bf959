// What this viewer is looking at: the selected instrument, the list, sort, filter and tab. It stands in the
// page's address, so that a reload, a bookmark or a colleague's browser shows the same.
//
// State: `values` by name, the listeners, the pending write of the address.

const WRITE_MS = 200
// Name in the address -> name here. What is empty stays out of the address.
const NAMES = {list: "list", i: "selected", sort: "sort", q: "filter", tab: "tab"}

// An address may say anything: what cannot be an instrument is none.
function asKey(text) {
  const key = text.trim().toUpperCase()
  return /^[A-Z]{2,8}:[\x20-\x7e]{1,54}$/.test(key) ? key : ""
}

export class Ui {
  constructor(address) {
    this.values = {list: "", selected: "", sort: "", filter: "", tab: ""}
    const given = new URL(address).searchParams
    for (const [short, name] of Object.entries(NAMES)) this.values[name] = (given.get(short) ?? "").slice(0, 80)
    this.values.selected = asKey(this.values.selected)
    this.listeners = []
    this.timer = null
  }

  get(name) {
    return this.values[name]
  }

  // Tell everybody what changed; nothing happens when nothing did.
  set(changes) {
    const before = {...this.values}
    const changed = Object.keys(changes).filter((name) => before[name] !== changes[name])
    if (!changed.length) return
    Object.assign(this.values, changes)
    for (const listener of this.listeners) listener(changed, before)
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.write(), WRITE_MS)
  }

  // `listener(changed, before)`: names that changed and all values as they were.
  on(listener) {
    this.listeners.push(listener)
  }

  write() {
    clearTimeout(this.timer)
    const address = new URL(location.href)
    for (const [short, name] of Object.entries(NAMES)) {
      if (this.values[name]) address.searchParams.set(short, this.values[name])
      else address.searchParams.delete(short)
    }
    if (address.href !== location.href) history.replaceState(history.state, "", address)
  }

  stop() {
    clearTimeout(this.timer)
  }
}
