// An index as a treemap: area by approximate weight, grouped by sector, colour by change on a fixed domain.
//
// State of a HeatMap: one tile per member with what it shows, the tile that the keyboard stands on, the one that is
// looked at. Geometry is computed on resize only; a message changes colours and texts in place.

import {BLANK, MINUS, directionOf, percent, price} from "./format.js"
import {setData, setText} from "./tiles.js"

// At this change a tile has its full colour, whatever the day is like.
const HEAT_DOMAIN_PCT = 3
const HEAT_STEPS = 50
const SECTOR_LABEL_PX = 14
const SECTOR_GAP_PX = 2
const TILE_GAP_PX = 1
const TILE_PAD_PX = 2
// Ten per cent and more are written with a decimal less.
const WIDEST_PERCENT = ["", "+0.0%", "+0.00%"]
// Text size, and the least height and area of a tile that has it.
const HEAT_TEXT_SIZES = [[13, 46, 4200], [12, 38, 2600], [11, 0, 0]]

// Rectangles {x, y, width, height} that fill `box`, areas proportional to `sizes` and as square as may be (Bruls,
// Huizing, van Wijk: Squarified Treemaps, 2000). In the order given, largest first for the best shapes.
export function squarify(sizes, box) {
  const total = sizes.reduce((sum, size) => sum + size, 0)
  let {x, y, width, height} = box
  const areas = sizes.map((size) => (total > 0 ? (size / total) * width * height : 0))
  const out = []
  while (out.length < areas.length) {
    const side = Math.min(width, height)
    const row = nextRow(areas, out.length, side)
    const thick = side > 0 ? row.sum / side : 0
    const upright = width >= height
    let along = 0
    for (const area of areas.slice(out.length, row.end)) {
      const long = thick > 0 ? area / thick : 0
      out.push(upright ? {x, y: y + along, width: thick, height: long} : {x: x + along, y, width: long, height: thick})
      along += long
    }
    if (upright) [x, width] = [x + thick, Math.max(0, width - thick)]
    else [y, height] = [y + thick, Math.max(0, height - thick)]
  }
  return out
}

// The areas from `start` on that are laid side by side: as many as make the worst shape no worse.
function nextRow(areas, start, side) {
  const worst = (sum, least, most) => Math.max((side * side * most) / (sum * sum), (sum * sum) / (side * side * least))
  let [sum, least, most, end] = [areas[start], areas[start], areas[start], start + 1]
  while (end < areas.length) {
    const [more, smaller, larger] = [sum + areas[end], Math.min(least, areas[end]), Math.max(most, areas[end])]
    if (worst(more, smaller, larger) > worst(sum, least, most)) break
    ;[sum, least, most, end] = [more, smaller, larger, end + 1]
  }
  return {sum, end}
}

// Members by sector, the heaviest sector and in it the heaviest member first.
export function bySector(members) {
  const sectors = new Map()
  for (const member of members) {
    const sector = sectors.get(member.sector) ?? {name: member.sector, weight: 0, members: []}
    sector.weight += member.weight
    sector.members.push(member)
    sectors.set(member.sector, sector)
  }
  const heaviest = (a, b) => b.weight - a.weight
  for (const sector of sectors.values()) sector.members.sort(heaviest)
  return [...sectors.values()].sort(heaviest)
}

// Whole pixels: edges are rounded, not sizes, so that neighbours never overlap.
function onPixels({x, y, width, height}, gap) {
  const [left, top] = [Math.round(x), Math.round(y)]
  return {
    x: left, y: top,
    width: Math.max(0, Math.round(x + width) - left - gap), height: Math.max(0, Math.round(y + height) - top - gap),
  }
}

// Boxes of the sectors within the map, {labelled, tiles}, and of each sector's members within the sector.
// `labelWidth(name)` says how much room a sector's name needs.
export function layoutSectors(sectors, width, height, labelWidth) {
  // The gaps on the right and below lie outside, so that the map ends flush.
  const whole = {x: 0, y: 0, width: width + SECTOR_GAP_PX, height: height + SECTOR_GAP_PX}
  return squarify(sectors.map((sector) => sector.weight), whole).map((free, at) => {
    const box = onPixels(free, SECTOR_GAP_PX)
    const labelled = box.height >= 3 * SECTOR_LABEL_PX && labelWidth(sectors[at].name) + 2 * TILE_PAD_PX <= box.width
    const top = labelled ? SECTOR_LABEL_PX : 0
    const inside = {x: 0, y: top, width: box.width + TILE_GAP_PX, height: box.height - top + TILE_GAP_PX}
    const tiles = squarify(sectors[at].members.map((member) => member.weight), inside)
    return {...box, labelled, tiles: tiles.map((tile) => onPixels(tile, TILE_GAP_PX))}
  })
}

// What of {symbol, percent} fits into a tile: {fit, size, places}. `widthOf(text, size)` measures.
export function fitTile(symbol, {width, height}, widthOf) {
  const room = width - 2 * TILE_PAD_PX
  for (const [size, least, area] of HEAT_TEXT_SIZES) {
    if (height < Math.max(least, size + 2) || width * height < area) continue
    const name = widthOf(symbol, size)
    for (const places of [2, 1]) {
      const change = widthOf(WIDEST_PERCENT[places], size)
      if (height >= 2 * size + 6 && Math.max(name, change) <= room) return {fit: "two", size, places}
      if (name + 4 + change <= room) return {fit: "one", size, places}
    }
    if (size === 11 && name + 4 + widthOf("+", size) <= room) return {fit: "symbol", size, places: 0}
  }
  return {fit: width >= 9 && height >= 11 ? "sign" : "none", size: 11, places: 0}
}

// Index of the nearest rectangle in a direction ("ArrowUp" ...), or -1: nearest by distance, strays counted double.
export function nearestTile(boxes, from, direction) {
  const across = direction === "ArrowLeft" || direction === "ArrowRight"
  const sign = direction === "ArrowLeft" || direction === "ArrowUp" ? -1 : 1
  const middle = ({x, y, width, height}) => [x + width / 2, y + height / 2]
  const [x, y] = middle(boxes[from])
  let [best, least] = [-1, Infinity]
  boxes.forEach((box, at) => {
    const [dx, dy] = [middle(box)[0] - x, middle(box)[1] - y]
    const [ahead, aside] = across ? [dx * sign, Math.abs(dy)] : [dy * sign, Math.abs(dx)]
    const distance = ahead + 2 * aside
    if (at !== from && ahead > 0.5 && distance < least) [best, least] = [at, distance]
  })
  return best
}

// Share of the full colour, per cent in steps that an eye can tell.
export const heatShare = (value) =>
  (Math.round((Math.min(Math.abs(value), HEAT_DOMAIN_PCT) / HEAT_DOMAIN_PCT) * HEAT_STEPS) * 100) / HEAT_STEPS

// A change as a tile has room for it: at least its sign.
function numberOf({percent: value, places}, direction) {
  if (!places) return {up: "+", down: MINUS}[direction] ?? "="
  return percent(value, Math.abs(value) < 9.995 ? places : places - 1)
}

export class HeatMap {
  // `members`: [{key, symbol, sector, weight}]; `select(key)` is called for the tile that is chosen.
  constructor(root, {members, approximate}, select) {
    this.map = root.querySelector("[data-map]")
    this.info = Object.fromEntries([...root.querySelectorAll("[data-info]")].map((e) => [e.dataset.info, e]))
    this.select = select
    this.approximate = approximate ? " (approximate)" : ""
    this.sectors = bySector(members)
    this.tiles = []
    this.at = 0
    this.looked = null
    this.build()
    this.listen()
  }

  build() {
    this.map.replaceChildren(...this.sectors.map((sector) => {
      sector.element = document.createElement("div")
      sector.element.className = "sector"
      sector.element.setAttribute("role", "group")
      sector.element.setAttribute("aria-label", sector.name)
      sector.label = document.createElement("span")
      sector.label.textContent = sector.name
      sector.label.ariaHidden = "true"
      sector.element.append(sector.label, ...sector.members.map((member) => this.tile(member)))
      return sector.element
    }))
    if (this.tiles.length) this.tiles[0].element.tabIndex = 0
  }

  tile(member) {
    const element = document.createElement("button")
    const [name, number] = [document.createElement("b"), document.createElement("span")]
    element.type = "button"
    element.className = "heat-tile"
    element.tabIndex = -1
    element.dataset.at = this.tiles.length
    name.textContent = member.symbol
    element.append(name, number)
    const tile = {member, element, number, fit: "none", places: 2, percent: null, price: null, label: ""}
    this.tiles.push(tile)
    return element
  }

  listen() {
    const tileOf = (event) => this.tiles[event.target.closest?.(".heat-tile")?.dataset.at] ?? null
    const look = (tile) => { this.looked = tile; this.paintInfo() }
    this.map.addEventListener("pointerover", (event) => look(tileOf(event)))
    this.map.addEventListener("pointerleave", () => look(this.focused()))
    this.map.addEventListener("focusin", (event) => { this.stand(tileOf(event)); look(tileOf(event)) })
    this.map.addEventListener("focusout", () => look(null))
    this.map.addEventListener("click", (event) => { if (tileOf(event)) this.select(tileOf(event).member.key) })
    this.map.addEventListener("keydown", (event) => this.key(event, tileOf(event)))
  }

  focused() {
    return this.tiles.find((tile) => tile.element.matches(":focus-visible")) ?? null
  }

  // One stop of the Tab key for all tiles: the one that the arrows have led to.
  stand(tile) {
    if (!tile) return
    this.tiles[this.at].element.tabIndex = -1
    this.at = this.tiles.indexOf(tile)
    tile.element.tabIndex = 0
  }

  key(event, tile) {
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === "Enter" || event.key === " ") {
      this.select(tile.member.key)
    } else if (event.key.startsWith("Arrow")) {
      const next = nearestTile(this.boxes, this.tiles.indexOf(tile), event.key)
      if (next >= 0) this.tiles[next].element.focus()
    } else {
      return
    }
    event.preventDefault()
  }

  // Give every sector and tile its place in a map of this size.
  layout() {
    const {clientWidth: width, clientHeight: height} = this.map
    if (!width || !height) return
    const widthOf = textMeasure(this.map)
    const boxes = layoutSectors(this.sectors, width, height, (name) => widthOf(name, 11))
    this.boxes = []
    boxes.forEach((box, at) => {
      const sector = this.sectors[at]
      placeTile(sector.element, box)
      sector.label.hidden = !box.labelled
      for (const inner of box.tiles) {
        const tile = this.tiles[this.boxes.length]
        this.boxes.push({...inner, x: box.x + inner.x, y: box.y + inner.y})
        placeTile(tile.element, inner)
        Object.assign(tile, fitTile(tile.member.symbol, inner, widthOf))
        setData(tile.element, "fit", tile.fit)
        setData(tile.element, "size", String(tile.size))
        tile.label = ""
      }
    })
  }

  // `mode` of the page's state; `rows` as in the message, [[key, percent, last_price]].
  update(mode, rows, selected) {
    const shown = ["live", "late", "closed"].includes(mode)
    const known = new Map(shown ? rows.map(([key, change, last]) => [key, {change, last}]) : [])
    for (const tile of this.tiles) {
      const {change = null, last = null} = known.get(tile.member.key) ?? {}
      tile.percent = change
      tile.price = last
      this.paint(tile, mode)
      const current = String(tile.member.key === selected)
      if (tile.element.ariaCurrent !== current) tile.element.ariaCurrent = current
    }
    this.shown = shown
    this.paintInfo()
  }

  paint(tile, mode) {
    const blank = tile.percent === null
    const text = percent(tile.percent)
    const direction = directionOf(text)
    setText(tile.number, mode === "loading" ? "" : blank ? BLANK : numberOf(tile, direction))
    setData(tile.element, "direction", direction)
    tile.element.toggleAttribute("data-blank", blank && mode !== "loading")
    const share = blank ? 0 : heatShare(tile.percent)
    if (tile.share !== share) tile.element.style.setProperty("--heat", `${share}%`)
    tile.share = share
    const label = `${tile.member.symbol} ${tile.member.sector}, ${this.weight(tile)}, ${blank ? "no number" : text}`
    if (tile.label === label) return
    tile.label = label
    tile.element.ariaLabel = label
    // What is written on the tile needs no tooltip over its neighbours.
    tile.element.title = tile.fit === "two" || tile.fit === "one" ? "" : label
  }

  weight({member}) {
    return `weight ${member.weight.toFixed(1)}%${this.approximate}`
  }

  // The line below the map: the tile that is looked at, else how many rose and fell.
  paintInfo() {
    const tile = this.looked
    if (!tile) return this.paintSum()
    const text = percent(tile.percent)
    const {symbol, sector, weight} = tile.member
    const about = this.approximate ? "≈ " : ""
    this.write(symbol, price(tile.price), text, `weight ${about}${weight.toFixed(1)}% · ${sector}`)
    setData(this.info.percent, "direction", directionOf(text))
  }

  paintSum() {
    const count = {up: 0, down: 0, "": 0}
    for (const tile of this.tiles) if (tile.percent !== null) count[directionOf(percent(tile.percent))] += 1
    const words = `▲ ${count.up}  ▼ ${count.down}  = ${count[""]}  of ${this.tiles.length}`
    this.write("", "", "", this.shown ? words : "")
  }

  write(symbol, last, change, rest) {
    setText(this.info.symbol, symbol)
    setText(this.info.price, last)
    setText(this.info.percent, change)
    setText(this.info.rest, rest)
  }
}

function placeTile(element, {x, y, width, height}) {
  Object.assign(element.style, {left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px`})
}

// Width of a text of a size in the font of an element; the smallest is not bold, so that more of it fits.
function textMeasure(element) {
  const pen = document.createElement("canvas").getContext("2d")
  const family = getComputedStyle(element).fontFamily
  return (text, size) => {
    pen.font = `${size > 11 ? 600 : 500} ${size}px ${family}`
    return Math.ceil(pen.measureText(text).width)
  }
}
