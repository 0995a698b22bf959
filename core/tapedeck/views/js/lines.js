// The day's line and the previous day's open interest of each instrument, and the sparklines made of them.
//
// State: by key what the desk answered (`start_ms`, `step_ms`, `prices`, `previous_oi`) and when; the keys asked
// for and not answered. The newest bucket is the live price; what the desk did not know stays a gap.

const STEP_S = 180
const CHUNK = 50
const REFRESH_MS = 60000
const RETRY_MS = 5000
const PAINT_MS = 1000
const WIDTH = 96
const HEIGHT = 20

export class Lines {
  constructor(page) {
    this.page = page
    this.byKey = new Map()
    this.wanted = new Map()
    this.asking = false
    // How much the desk has still to fetch, as it said last.
    this.waiting = 0
    this.notBefore = 0
    this.inks = null
  }

  line(key) {
    return this.byKey.get(key)
  }

  // Have these keys' lines soon, those named first before the others.
  want(keys) {
    const now = this.page.now()
    for (const key of keys) {
      const known = this.byKey.get(key)
      if (!known || now - known.at > REFRESH_MS) this.wanted.set(key, true)
    }
    this.askNext()
  }

  forget() {
    this.byKey.clear()
    this.wanted.clear()
  }

  // After a gap (hidden tab, lost connection) every line may miss something.
  outdate() {
    for (const line of this.byKey.values()) line.at = -Infinity
  }

  async askNext() {
    if (this.asking || !this.wanted.size || this.page.now() < this.notBefore || this.page.verdict?.dead) return
    this.asking = true
    const keys = [...this.wanted.keys()].slice(0, CHUNK)
    for (const key of keys) this.wanted.delete(key)
    try {
      const known = keys.filter((key) => this.page.market.byKey.has(key))
      if (known.length) await this.fetch(known)
    } catch {
      // A sparkline is not worth a word: its place stays empty and is asked for again.
      this.notBefore = this.page.now() + RETRY_MS
    } finally {
      this.asking = false
    }
    if (this.wanted.size) this.askNext()
  }

  async fetch(keys) {
    const query = new URLSearchParams([...keys.map((key) => ["i", key]), ["step", STEP_S]])
    const epoch = this.page.market.epoch
    const said = await this.page.ask(`api/day?${query}`)
    if (this.page.market.epoch !== epoch) return
    this.waiting = said.waiting ?? 0
    for (const [key, day] of Object.entries(said.days ?? {})) {
      // The desk may still be fetching what it missed: asked again soon.
      const partial = day.prices.includes(null) || day.previous_oi === null
      const at = this.page.now() - (this.waiting && partial ? REFRESH_MS - RETRY_MS : 0)
      this.byKey.set(key, {...day, step_ms: said.step_s * 1000, at})
    }
  }

  // -- sparkline ------------------------------------------------------------------------------------------------

  paint(element, entry) {
    const line = this.byKey.get(entry.key)
    entry.line = line
    const live = entry.mode === "live" || entry.mode === "late" || entry.mode === "closed"
    const now = this.page.now()
    const stamp = live && line ? `${entry.key} ${line.at}` : ""
    if (element.tapedeckStamp === stamp && (!stamp || now - element.tapedeckPaintedAt < PAINT_MS)) return ""
    let canvas = element.firstElementChild
    if (!canvas) {
      element.textContent = ""
      canvas = element.appendChild(document.createElement("canvas"))
      canvas.setAttribute("aria-hidden", "true")
    }
    element.tapedeckStamp = stamp
    element.tapedeckPaintedAt = now
    this.stroke(canvas, stamp ? this.points(line, entry) : [], entry)
    return ""
  }

  // [[fraction of the session, price], ...] with null where nothing was known; ends at the live price.
  points(line, entry) {
    const points = line.prices.map((value, i) => (value === null ? null : [i, value]))
    const now = this.page.marketNow
    const at = (now - line.start_ms) / line.step_ms
    const live = entry.mode === "live" || entry.mode === "late"
    if (live && at >= 0 && Number.isFinite(entry.numbers.last_price)) {
      const bucket = Math.floor(at)
      points.length = Math.min(points.length, bucket)
      points.push([Math.max(at, 0), entry.numbers.last_price])
    }
    return points
  }

  stroke(canvas, points, entry) {
    const ratio = window.devicePixelRatio || 1
    if (canvas.width !== Math.round(WIDTH * ratio)) {
      canvas.width = Math.round(WIDTH * ratio)
      canvas.height = Math.round(HEIGHT * ratio)
    }
    const pen = canvas.getContext("2d")
    pen.setTransform(ratio, 0, 0, ratio, 0, 0)
    pen.clearRect(0, 0, WIDTH, HEIGHT)
    const known = points.filter(Boolean)
    if (!known.length) return
    const close = entry.numbers.close
    const prices = known.map((point) => point[1]).concat(close > 0 ? [close] : [])
    const low = Math.min(...prices)
    const span = Math.max(...prices) - low || 1
    const slots = this.slots(entry.line)
    const x = (i) => 1 + (Math.min(i, slots) / slots) * (WIDTH - 2)
    const y = (value) => HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4)
    const ink = this.ink(canvas)
    if (close > 0) rule(pen, y(close), ink.line)
    trace(pen, points, x, y, entry.numbers.change < 0 ? ink.down : entry.numbers.change > 0 ? ink.up : ink.muted)
  }

  // Steps of the instrument's whole session.
  slots(line) {
    return Math.max(1, (line.end_ms - line.start_ms) / line.step_ms)
  }

  ink(element) {
    const scheme = `${document.documentElement.dataset.scheme} ${document.documentElement.dataset.palette}`
    if (this.inks?.scheme !== scheme) {
      const style = getComputedStyle(element)
      const of = (name) => style.getPropertyValue(`--td-${name}`).trim()
      this.inks = {scheme, up: of("up"), down: of("down"), muted: of("muted"), line: of("line")}
    }
    return this.inks
  }
}

function rule(pen, at, ink) {
  pen.strokeStyle = ink
  pen.lineWidth = 1
  pen.setLineDash([2, 2])
  pen.beginPath()
  pen.moveTo(0, Math.round(at) + 0.5)
  pen.lineTo(WIDTH, Math.round(at) + 0.5)
  pen.stroke()
  pen.setLineDash([])
}

function trace(pen, points, x, y, ink) {
  pen.strokeStyle = ink
  pen.lineWidth = 1.25
  pen.lineJoin = "round"
  pen.beginPath()
  let down = false
  for (const point of points) {
    if (!point) down = false
    else if (down) pen.lineTo(x(point[0]), y(point[1]))
    else {
      pen.moveTo(x(point[0]) - 0.5, y(point[1]))
      pen.lineTo(x(point[0]), y(point[1]))
      down = true
    }
  }
  pen.stroke()
}
