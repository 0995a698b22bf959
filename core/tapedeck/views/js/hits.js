// One line of the search popup: what is known of an instrument as elements, its matching letters marked, and the
// same as a sentence for screen readers. Text from outside becomes text nodes only.

import {directionOf, expiry, fixed, percent, price, whole, yyyymmddText} from "./format.js"
import {F} from "./wire.js"
import {numbers} from "./market.js"
import {setData, setText} from "./tiles.js"

const KIND_WORDS = {EQ: "equity", INDEX: "index", FUT: "future", CE: "call", PE: "put"}
// As many letters must a mistyped word share with a found one, from the first on, to be marked.
const LEAST_SHARED = 3

export const kindOf = (row) => (row.segment === "INDICES" ? "INDEX" : row.instrument_type || "EQ")

// Of a month's expiries only the monthly one has the month's letters in its symbol: NIFTY26NOV24500CE, NIFTY26N2424500CE.
export function isWeekly({expiry: day, name, tradingsymbol}) {
  if (!day || !name || !tradingsymbol.startsWith(name)) return false
  return /^\d\d[1-9OND]\d\d/.test(tradingsymbol.slice(name.length))
}

export const strikeText = (strike) => (Number.isInteger(strike) ? whole(strike) : fixed(strike, 2))

function hitPart(tag, className, text = "") {
  const made = document.createElement(tag)
  if (className) made.className = className
  made.textContent = text
  return made
}

// A listbox option of one instrument; `words` are what was typed, in lower case.
export function hitElement(row, words) {
  const item = hitPart("li", "hit")
  item.setAttribute("role", "option")
  const symbol = hitPart("span", "symbol")
  const name = hitPart("span", "name")
  symbol.append(...marked(row.tradingsymbol, words))
  // A contract's name is only the beginning of its symbol.
  name.append(...marked(row.name || row.tradingsymbol, row.expiry ? [] : words))
  name.title = row.name
  const kind = hitPart("span", "kind")
  kind.append(hitPart("i", "", row.exchange), hitPart("b", "", kindOf(row)))
  kind.dataset.kind = kindOf(row)
  const add = hitPart("span", "add", "+")
  add.dataset.add = ""
  item.append(symbol, name)
  if (row.expiry) {
    const strike = row.strike > 0 ? strikeText(row.strike) : ""
    item.append(hitPart("span", "expiry", expiry(row.expiry, isWeekly(row))), hitPart("span", "strike", strike))
    item.append(hitPart("span", "lot", row.lot_size > 0 ? whole(row.lot_size) : ""))
  } else {
    item.classList.add("cash")
  }
  item.append(kind, hitPart("span", "last"), hitPart("span", "percent"), add)
  return item
}

// A question to try; choosing it types it.
export function exampleElement(text) {
  const item = hitPart("li", "example")
  item.setAttribute("role", "option")
  item.append(hitPart("q", "", text))
  return item
}

export function groupElement(label, items) {
  const group = hitPart("ul", "group")
  group.setAttribute("role", "group")
  group.setAttribute("aria-label", label)
  const heading = hitPart("li", "label", label)
  heading.setAttribute("role", "presentation")
  heading.setAttribute("aria-hidden", "true")
  group.append(heading, ...items)
  return group
}

// `text` as nodes, the letters that were typed in <mark>.
export function marked(text, words) {
  const lower = text.toLowerCase()
  const on = new Uint8Array(text.length)
  for (const word of words) {
    const [at, length] = wordPlace(lower, word)
    if (at >= 0) on.fill(1, at, at + length)
  }
  const nodes = []
  for (let from = 0, to = 0; from < text.length; from = to) {
    while (to < text.length && on[to] === on[from]) to++
    const piece = text.slice(from, to)
    nodes.push(on[from] ? hitPart("mark", "", piece) : document.createTextNode(piece))
  }
  return nodes
}

// Where a typed word stands: at the start of a word, inside one, or, mistyped, the letters it begins with.
function wordPlace(lower, word) {
  const starts = []
  for (let i = 0; i < lower.length; i++) if (beginsWord(lower, i)) starts.push(i)
  const at = starts.find((i) => lower.startsWith(word, i)) ?? (word.length >= LEAST_SHARED ? lower.indexOf(word) : -1)
  if (at >= 0) return [at, word.length]
  const shared = starts.map((i) => sharedLength(lower, i, word))
  const best = Math.max(0, ...shared)
  return best >= LEAST_SHARED ? [starts[shared.indexOf(best)], best] : [-1, 0]
}

// NIFTY26NOV24500CE has the words nifty, 26, nov, 24500, ce.
function beginsWord(lower, i) {
  const kind = (letter) => (/[a-z]/.test(letter) ? "letter" : /\d/.test(letter) ? "digit" : "")
  return kind(lower[i]) !== "" && (i === 0 || kind(lower[i]) !== kind(lower[i - 1]))
}

function sharedLength(lower, at, word) {
  let n = 0
  while (n < word.length && lower[at + n] === word[n]) n++
  return n
}

// The price beside a hit that the page follows anyway: fresh or blank, and nothing for all others.
export function paintHit(item, row, page) {
  const [last, percents] = [item.querySelector(".last"), item.querySelector(".percent")]
  const known = page.market.byKey.get(row.key)
  if (!known) {
    setData(item, "mode", "")
    setText(last, "")
    return setText(percents, "")
  }
  const view = page.market.view(row.key, page.verdict)
  const shown = numbers(known, view.mode)
  const text = view.mode === "loading" ? "" : percent(shown.percent)
  setData(item, "mode", view.mode)
  setText(last, view.mode === "loading" ? "" : price(shown.last_price, known.tick))
  setText(percents, text)
  setData(percents, "direction", directionOf(text))
  item.toggleAttribute("data-untraded", !!shown.untraded)
  const title = view.mode === "closed" ? `close ${yyyymmddText(known.values[F.official_date])}` : view.reason
  if (last.title !== title) last.title = title
}

// What a screen reader says of a hit.
export function sentenceOf(row, item, inList) {
  const said = [row.tradingsymbol, row.name !== row.tradingsymbol && row.name, row.exchange, KIND_WORDS[kindOf(row)] ?? kindOf(row)]
  if (row.expiry) said.push(`expires ${expiry(row.expiry)}`, isWeekly(row) && "weekly")
  if (row.strike > 0) said.push(`strike ${strikeText(row.strike)}`)
  if (row.expiry && row.lot_size > 0) said.push(`lot ${row.lot_size}`)
  const [last, percents] = [item.querySelector(".last").textContent, item.querySelector(".percent").textContent]
  if (last && item.dataset.mode !== "blank") said.push(`last ${last}`, percents)
  if (inList) said.push("in the list")
  return said.filter(Boolean).join(", ")
}
