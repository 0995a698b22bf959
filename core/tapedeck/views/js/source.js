// A Bokeh ColumnDataSource kept live in the browser: the day of one instrument, minute by minute.
//
// The source is tagged in Python, `ColumnDataSource(tags=[target_tag("source", spec)], syncable=False)`, and stays
// empty there: everything is written with `{sync: false}`. Its spec:
//   follow  "selected": whichever instrument the page is about; or
//   key     "NSE:INFY": always this one
//   step    seconds of a step, 60 by default
//   x, y    names of the columns, "x" and "y" by default: start of the step, in milliseconds as Bokeh shows them
//           (UTC + 5:30, so that its axes read IST), and the price at its end, rupees
//   mode    "line", the only one so far: a price a step
//   pace    least milliseconds between two changes of the forming step, 250 by default
//
// What the day has brought so far comes from `api/day`; then the forming step is patched, when the price
// moved, and a new one is streamed. A price is taken only while it is live. What nobody knew live
// is NaN, a gap in the line; the desk is asked for it again, for it may have heard or fetched what this page has not.
// Another instrument, another source or a desk that started anew empties the columns at once.
//
// State: the key, the desk's answer (`day`) and whether it still fetches (`fetching`), `at` (index of the newest step),
// `version` (grows with every change), when to ask next (`askFrom`), the question on its way.

import {numbers} from "./market.js"

// Bokeh has no time zones: it shows the UTC reading of what it is given.
export const BOKEH_IST_MS = 19800000
// Asked again so long after a failure; after an answer with gaps in it soon while the desk still fetches what it
// missed, else a few times, and then seldom.
const RETRY_MS = 5000
const SOON_MS = 3000
const SOON_TIMES = 40
const AGAIN_MS = 15000
const AGAIN_TIMES = 4
const SELDOM_MS = 60000
const QUIET = {sync: false}

export class Source {
  static needsNoView = true

  constructor(view, spec, page, model) {
    this.spec = {step: 60, x: "x", y: "y", mode: "line", pace: 250, follow: "selected", ...spec}
    this.page = page
    this.model = model
    this.key = null
    this.version = 0
    this.asking = null
    this.stopped = false
    this.clear("")
  }

  get wanted() {
    const key = this.spec.key ?? this.page[this.spec.follow] ?? ""
    return key.includes(":") ? key : ""
  }

  get prices() {
    return this.model.data[this.spec.y] ?? []
  }

  get times() {
    return this.model.data[this.spec.x] ?? []
  }

  heard(type) {
    if (type === "forget" || type === "day") this.clear(this.wanted)
  }

  stop() {
    this.stopped = true
  }

  // Forget the day and show nothing, until the desk has told the day of `key`.
  clear(key, wait = 0) {
    this.key = key
    this.day = null
    this.at = -1
    this.answers = 0
    this.fetching = false
    this.asking = null
    this.askFrom = this.page.now() + wait
    this.empty = true
    this.followed = false
    this.patchedAt = -Infinity
    this.write([], [])
  }

  write(x, y) {
    this.model.setv({data: {[this.spec.x]: x, [this.spec.y]: y}}, QUIET)
    this.version += 1
  }

  draw(page) {
    const key = this.wanted
    if (key !== this.key) this.clear(key)
    if (!key) return
    const {mode} = page.market.view(key, page.verdict)
    // Of what is not in today's list the desk knows no day.
    if (page.market.byKey.has(key) && !page.verdict.dead) this.ask()
    if (mode === "live" || mode === "late") this.follow(numbers(page.market.byKey.get(key), mode))
  }

  // -- the day so far ---------------------------------------------------------------------------------------------

  async ask() {
    if (this.asking || this.page.now() < this.askFrom) return
    const question = {key: this.key, epoch: this.page.market.epoch}
    this.asking = question
    // Whoever cleared this source meanwhile wants another answer.
    const current = () => this.asking === question && !this.stopped && this.page.market.epoch === question.epoch
    try {
      const said = await this.page.ask(`api/day?${new URLSearchParams({i: question.key, step: this.spec.step})}`)
      if (current()) this.take(said.days?.[question.key], said.step_s ?? this.spec.step, said.waiting > 0)
    } catch {
      // The line stays as it is; asked again until it is known.
      if (current()) this.askFrom = this.page.now() + RETRY_MS
    } finally {
      if (this.asking === question) this.asking = null
    }
  }

  // Have the desk asked again `wait` ms after its last answer, or sooner if that was meant anyway.
  again(wait = AGAIN_MS) {
    this.askFrom = Math.min(this.askFrom, (this.answeredAt ?? 0) + wait)
  }

  // When to ask again for what an answer lacks; `fetching`: the desk still fetches, of this or of others. Before the
  // first known price lies the pre-open session, too, of which there is nothing to have.
  pause(prices, fetching) {
    const known = prices.map(Number.isFinite)
    const gap = known.slice(known.indexOf(true), -1).includes(false) || known.filter(Boolean).length < known.length / 2
    if (fetching && gap && this.answers <= SOON_TIMES) return SOON_MS
    return this.answers <= AGAIN_TIMES ? AGAIN_MS : SELDOM_MS
  }

  take(day, step, fetching) {
    this.answeredAt = this.page.now()
    this.answers += 1
    this.fetching = fetching
    this.askFrom = this.answeredAt + this.pause((day?.prices ?? []).map((value) => value ?? NaN), fetching)
    if (!(day?.start_ms > 0)) return
    this.day = {...day, step_ms: step * 1000}
    const upTo = this.index() + 1
    const y = day.prices.slice(0, upTo > 0 ? upTo : undefined).map((value) => value ?? NaN)
    if (y.length > 1 && y.slice(0, -1).every(Number.isFinite)) this.askFrom = Infinity
    this.at = y.length - 1
    this.empty = !y.some(Number.isFinite)
    this.followed = false
    this.patchedAt = -Infinity
    this.write(y.map((_, i) => this.time(i)), y)
    this.page.draw()
  }

  // The step that market time is in; NaN when it is not known.
  index() {
    return Math.floor((this.page.market.marketNow(this.page.now()) - this.day.start_ms) / this.day.step_ms)
  }

  time(index) {
    return this.day.start_ms + index * this.day.step_ms + BOKEH_IST_MS
  }

  // -- and from now on --------------------------------------------------------------------------------------------

  follow({last_price: price, untraded}) {
    if (!this.day || untraded || !Number.isFinite(price)) return
    const index = this.index()
    if (!(index >= 0)) return
    // The page's reckoning of market time may lag a moment behind the desk's; more is another day.
    if (index < this.at) return index < this.at - 1 ? this.clear(this.key, RETRY_MS) : undefined
    const now = this.page.now()
    if (index > this.at) this.stream(index, price)
    else if (this.prices[index] === price || now - this.patchedAt < this.spec.pace) return
    else this.model.patch({[this.spec.y]: [[index, price]]}, QUIET)
    this.patchedAt = now
    this.empty = false
    this.followed = true
    this.version += 1
  }

  // Steps in between were not seen from here: they stay a gap, unless the desk knows them.
  stream(index, price) {
    const x = []
    const y = []
    for (let i = this.at + 1; i <= index; i++) {
      x.push(this.time(i))
      y.push(i === index ? price : NaN)
    }
    if (y.length > 1 && this.followed) this.again(0)
    this.model.stream({[this.spec.x]: x, [this.spec.y]: y}, undefined, QUIET)
    this.at = index
  }
}
