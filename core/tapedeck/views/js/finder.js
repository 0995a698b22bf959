// Finding instruments by what is typed: debounced questions to the desk, of which the newest answer wins.
//
// State: the question wanted now (`path`, "" when nothing is typed) and its outcome (`phase`, `rows`, `note`, `reason`),
// the questions on their way, the answers of the last half minute, how many answers came too late (`dropped`).
// Phases: idle, asking, found, failed (the desk's reason), waiting (the desk is not ready: asked again).

const ASK_AFTER_MS = 120
const ASK_AGAIN_MS = 2000
const ANSWER_KEPT_MS = 30000
const MOST_ANSWERS = 40
const MOST_ON_THEIR_WAY = 2
export const MOST_FOUND = 30

export class Finder {
  // `ask(path)` fetches JSON, `now()` is in milliseconds, `changed()` hears that there is another outcome.
  constructor(ask, now, changed) {
    this.ask = ask
    this.now = now
    this.changed = changed
    this.path = ""
    this.onTheirWay = new Set()
    this.answers = new Map()
    this.dropped = 0
    this.timer = null
    this.phase = "idle"
    this.rows = []
    // What the desk could not keep of the question, such as a day on which nothing expires.
    this.note = ""
    this.reason = ""
  }

  // Look for this from now on; a failed question is asked again when it is wanted again.
  want(text, {type, exchange}) {
    const path = questionOf(text, type, exchange)
    if (path && path === this.path && this.phase !== "failed") return
    this.path = path
    this.later(null)
    const kept = path ? this.kept(path) : {rows: []}
    if (kept) return this.conclude(path ? "found" : "idle", kept)
    // What was found before stays in sight until there is something else.
    this.conclude("asking", this)
    this.later(ASK_AFTER_MS)
  }

  later(ms) {
    clearTimeout(this.timer)
    this.timer = ms === null ? null : setTimeout(() => this.send(), ms)
  }

  // Ask at once what is wanted; with too many questions on their way it is asked when one has come back.
  async send() {
    this.later(null)
    const {path} = this
    if (!path || this.onTheirWay.has(path) || this.onTheirWay.size >= MOST_ON_THEIR_WAY) return
    this.onTheirWay.add(path)
    const outcome = await this.outcomeOf(path)
    this.onTheirWay.delete(path)
    if (path === this.path) {
      if (outcome[0] === "waiting") this.later(ASK_AGAIN_MS)
      return this.conclude(...outcome)
    }
    this.dropped += 1
    if (this.phase === "asking" && this.timer === null) this.send()
  }

  async outcomeOf(path) {
    const {answers} = this
    try {
      const {instruments: rows = [], note = ""} = await this.ask(path)
      // Not when everything was forgotten meanwhile.
      if (answers === this.answers) this.keep(path, {rows, note})
      return ["found", {rows, note}]
    } catch (error) {
      if (error.status === 503) return ["waiting", {rows: []}, error.message]
      return ["failed", {rows: []}, error.status ? error.message : unreachable(error)]
    }
  }

  conclude(phase, {rows, note = ""}, reason = "") {
    this.phase = phase
    this.rows = rows
    this.note = note
    this.reason = reason
    this.changed()
  }

  kept(path) {
    const answer = this.answers.get(path)
    return answer && this.now() - answer.at < ANSWER_KEPT_MS ? answer : null
  }

  keep(path, found) {
    this.answers.delete(path)
    this.answers.set(path, {...found, at: this.now()})
    while (this.answers.size > MOST_ANSWERS) this.answers.delete(this.answers.keys().next().value)
  }

  // Nobody looks any more: no question goes out, and what comes back is only kept.
  rest() {
    this.path = ""
    this.later(null)
    this.phase = "idle"
    this.rows = []
    this.note = ""
  }

  // Another day or another source: its instruments are others.
  forget() {
    this.answers = new Map()
    this.path = ""
  }
}

function questionOf(text, type, exchange) {
  const words = text.trim().replace(/\s+/g, " ")
  if (!words) return ""
  const query = new URLSearchParams({q: words, limit: String(MOST_FOUND)})
  if (type) query.set("type", type)
  if (exchange) query.set("exchange", exchange)
  return `api/instruments?${query}`
}

const unreachable = (error) => (error.name === "TimeoutError" ? "the desk did not answer in time" : "the desk is not reachable")
