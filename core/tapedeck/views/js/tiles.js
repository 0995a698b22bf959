// What every tile does alike: its six states, its chip, and the frame and clock of a replay.

import {clockText, yyyymmddText} from "./format.js"

export function setText(element, text) {
  if (element.tapedeckText === text) return
  element.textContent = text
  element.tapedeckText = text
}

export function setData(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value
}

// State of a tile that shows many instruments: that of the page, or closed with a date.
export function pageState(page, {held = true, date = null} = {}) {
  const {verdict} = page
  if (verdict.state === "loading") return {mode: "loading", text: "loading"}
  if (verdict.dead) return {mode: "blank", text: verdict.reason}
  if (!held) return {mode: "closed", text: date ? `close ${yyyymmddText(date)}` : "market closed"}
  if (verdict.state === "blank") return {mode: "blank", text: verdict.reason}
  if (verdict.state === "late") return {mode: "late", text: `late ${verdict.age.toFixed(1)} s`}
  return {mode: "live", text: ""}
}

// Show a tile's state: data-mode, the words of its chip, and in a replay the frame and the clock.
export function paintTile(tile, page, {mode, text}) {
  setData(tile, "mode", mode)
  const chip = tile.querySelector("[data-chip]")
  if (chip) {
    setText(chip, text)
    if (chip.title !== text) chip.title = text
  }
  paintReplay(tile, page)
}

export function paintReplay(element, page) {
  const replay = page.market.replay
  element.toggleAttribute("data-replay", replay)
  const mark = element.querySelector("[data-watermark]")
  if (mark) setText(mark, replay ? `REPLAY ${clockText(page.market.marketNow(page.now()))}` : "")
}

// A button that opens and shuts a popover. The browser shuts an open one by itself when the pointer goes down on the
// button: the click after it must not open it again.
export function toggles(button, popover, place) {
  let wasOpen = false
  button.addEventListener("pointerdown", () => { wasOpen = popover.matches(":popover-open") })
  button.addEventListener("click", (event) => {
    const open = event.detail ? wasOpen : popover.matches(":popover-open")
    wasOpen = false
    if (open) return popover.hidePopover()
    popover.showPopover()
    place()
  })
  popover.addEventListener("toggle", (event) => button.setAttribute("aria-expanded", String(event.newState === "open")))
}

// Elements that others look for (page.find) and that draw nothing themselves.
export class Part {
  draw() {}
}
