// The saved workspace: named lists, columns, density, theme and layout, the same in every tab.
//
// State: the newest document, the fields changed here and not saved yet, those on their way, those the
// desk refuses and why. A save names the revision it is based on; when another tab was faster, its document is
// taken and only the fields changed here are put on top. A field that is refused stays as it is here and holds up no other.

const SAVE_MS = 400
const RETRY_MS = 2000
const TRIES = 4

// Lists of two windows that began with the same ones: each keeps what it changed, new ones of both are there, and what
// one deleted stays away unless the other changed it. Of a list that both changed, ours is kept.
export function mergeLists(before, mine, theirs) {
  const find = (lists, name) => lists.find((one) => one.name === name)
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other)
  const changed = (one) => !same(one, find(before, one.name))
  const kept = theirs.filter((one) => find(mine, one.name) || !find(before, one.name) || changed(one))
  const merged = kept.map((one) => {
    const own = find(mine, one.name)
    return own && changed(own) ? own : one
  })
  const added = mine.filter((one) => !find(theirs, one.name) && changed(one))
  const all = [...merged, ...added]
  return all.length ? all : mine
}

export class Workspace {
  // `ask(path, options)` fetches JSON; `tell(problem)` hears why saving fails, and "" when it works again.
  constructor(document, ask, tell) {
    this.document = structuredClone(document)
    // As the desk had it last: what differs from it was changed here.
    this.saved = structuredClone(document)
    this.ask = ask
    this.tell = tell
    this.dirty = new Set()
    this.sending = new Set()
    this.refused = new Map()
    this.listeners = []
    this.timer = null
    this.saving = false
    this.following = false
    // Grows with every change made or saved here.
    this.changes = 0
  }

  on(listener) {
    this.listeners.push(listener)
  }

  get lists() {
    return this.document.lists
  }

  list(name) {
    const wanted = name.toLowerCase()
    return this.lists.find((one) => one.name.toLowerCase() === wanted) ?? this.lists[0]
  }

  // Change fields of the document here and, soon, on the desk.
  change(fields) {
    this.document = {...this.document, ...structuredClone(fields)}
    for (const name of Object.keys(fields)) this.dirty.add(name)
    this.changes += 1
    this.notify(Object.keys(fields))
    this.saveIn(SAVE_MS)
  }

  changeList(name, keys) {
    this.change({lists: this.lists.map((one) => (one.name === name ? {...one, keys} : one))})
  }

  notify(changed) {
    for (const listener of this.listeners) listener(changed)
  }

  saveIn(wait) {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.save(), wait)
  }

  async save({keepalive = false} = {}) {
    clearTimeout(this.timer)
    if (this.saving || !this.dirty.size) return
    this.saving = true
    const sent = this.dirty
    this.sending = sent
    this.dirty = new Set()
    let again = SAVE_MS
    try {
      await this.putParts(sent, keepalive)
      const [why] = this.refused.values()
      this.tell(why ? `not saved: ${why}` : "")
    } catch {
      again = RETRY_MS
      for (const name of sent) this.dirty.add(name)
      this.tell("not saved yet: the desk is not reachable")
    } finally {
      this.sending = new Set()
      this.saving = false
    }
    if (this.dirty.size) this.saveIn(again)
  }

  // Of several fields of which the desk refuses one, the others are saved all the same. What was refused is tried again
  // when it is changed again.
  async putParts(sent, keepalive) {
    try {
      await this.put(sent, keepalive)
    } catch (error) {
      if (![400, 401, 403].includes(error.status)) throw error
      for (const name of sent) {
        // Who may not save, or not any more, may save no part of it either.
        if (error.status === 400 && sent.size > 1) await this.putParts(new Set([name]), keepalive)
        else this.refused.set(name, error.message)
      }
    }
  }

  async put(sent, keepalive) {
    for (let attempt = 1; ; attempt++) {
      try {
        const body = {...this.saved, ...this.mine(sent)}
        const saved = await this.ask("api/workspace", {method: "PUT", body, keepalive})
        for (const name of sent) this.refused.delete(name)
        this.saved = structuredClone(saved)
        this.document = {...saved, ...this.mine(this.kept())}
        this.changes += 1
        return
      } catch (error) {
        if (error.status !== 409 || attempt === TRIES) throw error
        const theirs = error.body.workspace
        const mine = this.mine(this.kept())
        if (mine.lists) mine.lists = mergeLists(this.saved.lists, mine.lists, theirs.lists)
        this.saved = structuredClone(theirs)
        this.document = {...theirs, ...mine}
        this.notify(Object.keys(this.document))
      }
    }
  }

  // Fields that stay as they are here whatever the desk has.
  kept() {
    return new Set([...this.dirty, ...this.sending, ...this.refused.keys()])
  }

  mine(names) {
    return Object.fromEntries([...names].map((name) => [name, this.document[name]]))
  }

  // The desk says its revision once a second: another tab, or another desk after a restart, may be ahead.
  async follow(revision) {
    if (revision === undefined || revision === this.document.revision || this.saving || this.following) return
    if (this.dirty.size) return
    this.following = true
    const before = this.changes
    try {
      const {warning, ...saved} = await this.ask("api/workspace")
      // Changed or saved here meanwhile: that answer is older than what is held.
      if (this.dirty.size || this.saving || this.changes !== before) return
      if (warning) this.tell(warning)
      const theirs = {...saved, ...this.mine(this.refused.keys())}
      const changed = Object.keys(theirs).filter((name) => JSON.stringify(theirs[name]) !== JSON.stringify(this.document[name]))
      this.saved = structuredClone(saved)
      this.document = theirs
      this.notify(changed)
    } catch {
      // Asked again with the next state message.
    } finally {
      this.following = false
    }
  }

  // The last moment: what is not saved goes out with the page.
  stop() {
    this.save({keepalive: true})
  }
}
