// The keyboard: `/` filters, arrows move, `?` tells. The sheet lies in the top layer and takes no room.

const SHEET = [
  ["/", "filter the watchlist"],
  ["Esc", "clear the filter, close this sheet"],
  ["↑ ↓", "previous, next row"],
  ["PgUp PgDn", "ten rows"],
  ["Home End", "first, last row"],
  ["?", "this sheet"],
]

export function helpSheet() {
  const dialog = document.createElement("dialog")
  dialog.className = "sheet"
  dialog.setAttribute("aria-label", "Keyboard")
  const lines = SHEET.map(([key, what]) => `<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`).join("")
  dialog.innerHTML = `<h2>Keyboard</h2><dl>${lines}</dl>`
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close() })
  return dialog
}

const MOVES = {ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: "first", End: "last"}

// Handler of keydown on the document. `page` gives filterBox(), tables() and sheet.
export function onKey(page) {
  return (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    const target = event.composedPath()[0]
    const box = page.filterBox()
    const typing = target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
    if (event.key === "Escape" && target === box) {
      box.value = ""
      box.dispatchEvent(new Event("input"))
      box.blur()
    } else if (typing && !(target === box && (event.key === "ArrowDown" || event.key === "ArrowUp"))) {
      return
    } else if (event.key === "/" && box) {
      box.focus()
      box.select()
    } else if (event.key === "?") {
      page.sheet.open ? page.sheet.close() : page.sheet.showModal()
    } else if (event.key in MOVES && !page.sheet.open) {
      page.tables()[0]?.move(MOVES[event.key])
    } else {
      return
    }
    event.preventDefault()
  }
}
