// The day chart of the panel: axes, scales, colours and the previous close around the line that a Source feeds.
//
// The axes are made here and not in Python: they are the dearest models of a session, and here the prices on them
// can be written as everywhere else. Nothing here reaches Python: the models are not syncable.
//
// State: the models made, the scale of the prices (kept until it no longer fits), what was painted last and how high
// the chart is (`room`, pixels).

import {fixed, price} from "./format.js"
import {BOKEH_IST_MS} from "./source.js"

const HOUR_MS = 3600000
const INKS = ["up", "down", "warning", "muted", "faint", "hairline"]
const LOOK_MS = 400
const QUIET_SET = {sync: false}
// Part of the chart's height left free above and below the line.
const MARGIN = 0.1
// So near to the last price's mark no other price is written.
const PILL_PX = 14
// A line that fills less of the scale than this part of what it could gets a new one.
const SLACK = 0.5

// [low, high] that holds `values` with some air; `before` is kept while it fits.
export function priceScale(values, before) {
  const known = values.filter(Number.isFinite)
  if (!known.length) return before
  const low = Math.min(...known)
  const high = Math.max(...known)
  const air = Math.max((high - low) * MARGIN, Math.abs(high) * 0.0002, 1e-6)
  const fits = before && low >= before[0] && high <= before[1] && high - low + 2 * air >= SLACK * (before[1] - before[0])
  return fits ? before : [low - air, high + air]
}

export class DayChart {
  constructor(page, id) {
    this.page = page
    this.id = id
    this.made = null
    this.scale = null
    this.stamp = ""
    this.looked = ""
  }

  get plot() {
    return this.page.view.model.document?.get_model_by_id(this.id) ?? null
  }

  get source() {
    return this.page.targets.get(this.plot?.renderers[0].data_source.id)?.part ?? null
  }

  // What the desk said of the day of `key`, or null.
  day(key) {
    const {source} = this
    return source && source.key === key ? source.day : null
  }

  // Whether there is a line to see. `close`, `last`: previous close and last price, NaN when unknown; `host`: whose
  // colours to wear.
  draw({key, mode, close, tick, direction, host, last, room}) {
    const {plot, source} = this
    const el = plot && Bokeh.index.find_one_by_id(plot.id)?.el
    if (!el || !source) return false
    this.made ??= this.make(plot)
    const shown = !!key && source.key === key && !source.empty
    const visibility = shown ? "" : "hidden"
    if (el.style.visibility !== visibility) el.style.visibility = visibility
    if (!shown) {
      this.scale = null
      return false
    }
    this.colour(plot, host, mode, direction)
    const stamp = `${key} ${source.version} ${close} ${tick} ${last} ${room}`
    if (stamp === this.stamp) return true
    this.stamp = stamp
    Object.assign(this, {tick, last, room})
    this.fit(plot, source, close)
    return true
  }

  make(plot) {
    const model = (name, properties) => new (Bokeh.Models.get(name))({syncable: false, ...properties})
    const plain = {axis_line_color: null, major_tick_line_color: null, minor_tick_line_color: null, major_label_standoff: 4}
    const format = (write) => Object.assign(model("BasicTickFormatter"), {doFormat: (ticks) => ticks.map(write)})
    const hours = model("LinearAxis", {...plain, ticker: model("SingleIntervalTicker", {interval: HOUR_MS, num_minor_ticks: 0}), formatter: format((ms) => (ms > plot.x_range.start ? hourText(ms) : ""))})
    const prices = model("LinearAxis", {
      ...plain, ticker: model("BasicTicker", {desired_num_ticks: 3, num_minor_ticks: 0}), formatter: format((value) => this.priceText(value)),
    })
    const rows = model("Grid", {dimension: 1, axis: prices})
    const columns = model("Grid", {dimension: 0, axis: hours})
    const close = model("Span", {dimension: "width", location: NaN, line_dash: [3, 3], line_width: 1})
    // Bokeh builds the views of every list that changes by itself, side by side: two at once would build them twice.
    plot.setv({below: [hours], right: [prices]}, {silent: true})
    plot.setv({center: [rows, columns, close]}, QUIET_SET)
    return {hours, prices, rows, columns, close}
  }

  // Where a price stands in the chart, pixels from its top.
  height(value) {
    const [low, high] = this.scale ?? [NaN, NaN]
    const {min_border_top: top, min_border_bottom: bottom} = this.plot
    return top + ((high - value) / (high - low)) * (this.room - top - bottom)
  }

  // A price at the axis; nothing where the last price's own mark stands.
  priceText(value) {
    if (Math.abs(this.height(value) - this.height(this.last)) < PILL_PX) return ""
    const [low, high] = this.scale ?? [0, 0]
    return high - low > 20 ? fixed(value, 0) : price(value, this.tick)
  }

  fit(plot, source, close) {
    const {start_ms: start, end_ms: end} = source.day
    const from = start + BOKEH_IST_MS
    const to = Math.max((end ?? start + 6.5 * HOUR_MS) + BOKEH_IST_MS, source.times.at(-1) ?? 0)
    this.scale = priceScale([...source.prices, close, this.last], this.scale)
    plot.x_range.setv({start: from, end: to}, QUIET_SET)
    plot.y_range.setv({start: this.scale[0], end: this.scale[1]}, QUIET_SET)
    const interval = (to - from > 9 * HOUR_MS ? 3 : 1) * HOUR_MS
    this.made.hours.ticker.setv({interval}, QUIET_SET)
    // Bokeh takes NaN for no place at all, but refuses undefined.
    this.made.close.setv({location: close ?? NaN}, QUIET_SET)
  }

  // The colours of `host` now. Reading them makes the browser work out its styles: not on every drawing.
  look(host) {
    const {scheme, palette} = document.documentElement.dataset
    const stamp = `${scheme} ${palette} ${Math.floor(performance.now() / LOOK_MS)}`
    if (stamp === this.looked) return
    this.looked = stamp
    const style = getComputedStyle(host)
    this.font = style.fontFamily
    this.inks = Object.fromEntries(INKS.map((name) => [name, style.getPropertyValue(`--td-${name}`).trim()]))
  }

  // panel-material-ui paints the axes and grids of a page anew with its theme: looked at on every drawing.
  colour(plot, host, mode, direction) {
    this.look(host)
    const ink = (name) => this.inks[name]
    const line = mode === "late" ? ink("warning") : mode === "live" && direction ? ink(direction) : ink("muted")
    const label = {
      major_label_text_color: ink("muted"), major_label_text_font: this.font, major_label_text_font_size: "10px",
      major_label_text_font_style: "normal", major_tick_line_alpha: 0, axis_line_alpha: 0,
    }
    wear(plot.renderers[0].glyph, {line_color: line})
    wear(this.made.close, {line_color: ink("faint")})
    for (const axis of [this.made.hours, this.made.prices]) wear(axis, label)
    for (const grid of [this.made.rows, this.made.columns]) wear(grid, {grid_line_color: ink("hairline"), grid_line_alpha: 1})
  }
}

// Set what differs; a property that is the same already costs nothing.
function wear(model, properties) {
  const other = Object.entries(properties).filter(([name, value]) => plainValue(model[name]) !== value)
  if (other.length) model.setv(Object.fromEntries(other), QUIET_SET)
}

// Bokeh wraps what could also come from a column.
const plainValue = (value) => (value !== null && typeof value === "object" && "value" in value ? value.value : value)

// The hour of a time as Bokeh has it, which reads as IST.
const hourText = (ms) => `${String(new Date(ms).getUTCHours()).padStart(2, "0")}:00`
