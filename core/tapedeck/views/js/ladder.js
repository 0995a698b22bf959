// The order book of one instrument: five levels to each side, bars on one scale, spread, and who is waiting.
//
// State: the scale of the bars. It grows at once and shrinks only when the book has become much thinner, so that
// bars tell the quantities from one second to the next.

import {BLANK, fixed, price, quantity, whole} from "./format.js"
import {setData, setText} from "./tiles.js"

const SIDES = ["buy", "sell"]
// Below this part of the scale the largest bar asks for a smaller one.
const THIN = 0.3

// Characters of a price from which on it is written smaller.
const LONG = 9

// The next of 1, 2, 5, 10, 20, ... that is not below `largest`.
export function scaleFor(largest) {
  if (!(largest > 0)) return 0
  const unit = 10 ** Math.floor(Math.log10(largest))
  return [1, 2, 5, 10].map((n) => n * unit).find((step) => step >= largest)
}

export function rescale(scale, largest) {
  return largest > scale || largest < scale * THIN ? scaleFor(largest) : scale
}

// {spread, mid, bps} of two best prices; NaN when a side is empty.
export function spreadOf(bid, ask) {
  const spread = ask - bid
  const mid = (ask + bid) / 2
  return {spread, mid, bps: mid > 0 ? (spread / mid) * 10000 : NaN}
}

export class Ladder {
  constructor(element) {
    this.element = element
    this.scale = 0
    this.levels = [...element.querySelectorAll("tr[data-level]")].map((row) => Object.fromEntries(SIDES.map((side) => [side, cellsOf(row, side)])))
    this.totals = cellsNamed(element, "total")
    this.words = cellsNamed(element, "book")
    this.bar = this.words.bar.firstElementChild
    this.drawn = null
  }

  // `book`: a depth message, or null with `why` there is none ("" while that is not known); `none`: there never is
  // one. `totals`: [to buy, to sell] of the whole book, NaN where unknown.
  draw({key, book, why, none = false, totals, tick}) {
    const stamp = `${key} ${why} ${none} ${tick} ${totals.join()}`
    if (this.drawn?.book === book && this.drawn.stamp === stamp) return
    if (this.drawn?.key !== key) this.scale = 0
    this.drawn = {book, stamp, key}
    setData(this.element, "state", none ? "none" : book ? "known" : "unknown")
    const absent = why ? BLANK : ""
    const largest = book ? Math.max(0, ...[...book.buy, ...book.sell].map((level) => level[1])) : 0
    this.scale = rescale(this.scale, largest)
    this.levels.forEach((cells, n) => SIDES.forEach((side) => this.level(cells[side], book?.[side][n], absent, tick)))
    for (const side of SIDES) this.sums(side, book?.[side], absent)
    setData(this.element, "long", this.levels.some((level) => level.buy.price.tapedeckText?.length > LONG) ? "yes" : "")
    this.summary(book, why, none, tick)
    this.balance(totals, absent)
  }

  level(cells, level, absent, tick) {
    const [at, count, orders] = level ?? []
    setText(cells.price, level ? price(at, tick) : absent)
    setText(cells.quantity, level ? quantity(count) : absent)
    setText(cells.orders, level ? whole(orders) : absent)
    const title = level && count >= 100000 ? whole(count) : ""
    if (cells.quantity.title !== title) cells.quantity.title = title
    const size = level && this.scale ? Math.max(count / this.scale, 0.01) : 0
    const transform = `scaleX(${size.toFixed(3)})`
    if (cells.bar.tapedeckSize !== transform) cells.bar.style.transform = cells.bar.tapedeckSize = transform
  }

  sums(side, levels, absent) {
    const sum = (at) => levels.reduce((all, level) => all + level[at], 0)
    setText(this.totals[`${side}-quantity`], levels ? quantity(sum(1)) : absent)
    setText(this.totals[`${side}-orders`], levels ? whole(sum(2)) : absent)
  }

  summary(book, why, none, tick) {
    setText(this.words.why, none ? why : "")
    const reason = none ? "" : why
    setData(this.words.spread, "state", reason ? "why" : "")
    if (!book) return setText(this.words.spread, reason)
    const [bid, ask] = [book.buy[0]?.[0], book.sell[0]?.[0]]
    if (bid === undefined || ask === undefined) {
      const empty = bid === undefined && ask === undefined ? "no orders" : bid === undefined ? "no buyers" : "no sellers"
      return setText(this.words.spread, empty)
    }
    const {spread, mid, bps} = spreadOf(bid, ask)
    setText(this.words.spread, `spread ${price(spread, tick)} · ${fixed(bps, bps < 10 ? 2 : 1)} bps · mid ${midText(mid, tick)}`)
  }

  balance([buy, sell], absent) {
    const known = buy >= 0 && sell >= 0 && buy + sell > 0
    const share = known ? buy / (buy + sell) : NaN
    const percents = [Math.round(share * 100), 100 - Math.round(share * 100)]
    setText(this.words.buy, known ? `${quantity(buy)} · ${percents[0]}%` : absent)
    setText(this.words.sell, known ? `${percents[1]}% · ${quantity(sell)}` : absent)
    const label = known ? `all pending orders: ${whole(buy)} units to buy, ${whole(sell)} to sell` : "pending orders not known"
    if (this.words.bar.title !== label) {
      this.words.bar.title = label
      this.words.bar.setAttribute("aria-label", label)
    }
    setData(this.words.bar, "state", known ? "known" : "")
    this.bar.style.transform = `scaleX(${known ? share.toFixed(3) : 0})`
  }
}

// Between two ticks the middle needs a digit more.
function midText(mid, tick) {
  const text = price(mid, tick)
  return Math.abs(Number(text.replaceAll(",", "")) - mid) > 1e-9 ? price(mid, tick / 10) : text
}

function cellsOf(row, side) {
  const cell = (name) => row.querySelector(`[data-side=${side}][data-cell=${name}]`)
  const text = (name) => cell(name).querySelector("span")
  return {price: text("price"), quantity: text("quantity"), orders: text("orders"), bar: cell("price").querySelector("i")}
}

function cellsNamed(element, name) {
  return Object.fromEntries([...element.querySelectorAll(`[data-${name}]`)].map((one) => [one.dataset[name], one]))
}
