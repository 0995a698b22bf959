// The keyboard: one table of bindings, of which both the handler and the help sheet are made.
//
// Keys of one letter, digit or sign (WCAG 2.1.4) count only while no text field has the focus, and the sheet can
// turn them off. A key is written as chordOf() says: "Mod+" (Ctrl or Cmd), "Alt+", "Shift+", then the key itself;
// Shift is not told of signs and digits, because some keyboards need it to write them.

const SINGLE_KEYS_NAME = "tapedeck.single-keys"
const MOVES = {ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: "first", End: "last"}
const TEXT_INPUTS = /^(|text|search|email|number|password|tel|url|date|time|datetime-local|month|week)$/
// What uses the arrow keys and Enter itself.
const OWN_KEYS = /^(menu|menubar|listbox|radiogroup|tablist|slider|separator|spinbutton|combobox|tree)$/
const CONTROLS = "a[href], button, summary, input, select, textarea, [role=button], [role=tab], [role=link], [role=menuitem]"

const firstTable = (page) => page.tables()[0]
const firstGrid = (page) => page.parts("grid")[0]
const firstLists = (page) => page.parts("lists")[0]
const filterBox = (page) => page.find("[data-td-filter]")
const moveRows = (page, {key, shift}) => firstTable(page)?.move(MOVES[key], {extend: shift})

// `when` says whether the key counts where the focus is (isFree() unless said otherwise), `repeat` whether holding it
// down does it again.
export const BINDINGS = [
  {group: "Go to", keys: ["/"], what: "search all instruments", do: (page) => page.parts("search")[0]?.focus()},
  {group: "Go to", keys: ["f"], what: "filter the watchlist", do: toFilter},
  {group: "Go to", keys: ["[", "]"], what: "previous, next list", repeat: true, do: nextList},
  {group: "Go to", keys: ["Enter"], what: "details of the row", when: onRows, do: (page) => firstGrid(page)?.show("context")},
  {
    group: "Go to", keys: ["1", "2", "3"], what: "tabs of a narrow page",
    do: (page, {key}) => firstGrid(page)?.tab(Number(key)),
  },
  {group: "Go to", keys: [","], what: "System page and back", do: (page) => page.go?.(page.aside ? "./" : "system")},
  {group: "Go to", keys: ["Escape"], what: "clear the filter, close", when: canClear, do: clearFilter},
  {group: "View", keys: ["d"], what: "details, shown or not", do: (page) => firstGrid(page)?.toggle("context")},
  {group: "View", keys: ["m"], what: "market, shown or not", do: (page) => firstGrid(page)?.toggle("dock")},
  {group: "View", keys: ["t"], what: "dark or light", do: (page) => page.shell?.toggleTheme()},
  {group: "View", keys: ["s"], what: "height of the rows", do: (page) => page.shell?.cycleDensity()},
  {group: "View", keys: ["?"], what: "this sheet", do: (page) => page.shell?.toggleHelp()},
  {
    group: "Watchlist", keys: ["ArrowUp", "ArrowDown"], what: "previous, next row", when: onRowsOrFilter, repeat: true,
    do: moveRows,
  },
  {group: "Watchlist", keys: ["PageUp", "PageDown"], what: "ten rows", when: onRows, repeat: true, do: moveRows},
  {group: "Watchlist", keys: ["Home", "End"], what: "first, last row", when: onRows, do: moveRows},
  {
    group: "Watchlist", what: "select more rows", when: onRows, repeat: true, do: moveRows,
    keys: ["Shift+ArrowUp", "Shift+ArrowDown", "Shift+PageUp", "Shift+PageDown", "Shift+Home", "Shift+End"],
  },
  {
    group: "Watchlist", keys: ["Mod+a"], what: "select all rows, in the table", when: inTable,
    do: (page) => firstTable(page)?.selection?.all(),
  },
  {
    group: "Watchlist", keys: ["Mod+c"], what: "copy the selected rows", when: canCopy,
    do: (page) => firstTable(page)?.copy(),
  },
  {
    group: "Watchlist", keys: ["Alt+ArrowUp", "Alt+ArrowDown"], what: "move the row", when: onRows, repeat: true,
    do: (page, {key}) => firstLists(page)?.shift(MOVES[key]),
  },
  {
    group: "Watchlist", keys: ["Delete", "Backspace"], what: "remove the selected rows", when: onRows,
    do: (page) => firstLists(page)?.removeSelected(),
  },
]

// -- what was pressed, and where --------------------------------------------------------------------------------

export function chordOf(event) {
  const written = event.key.length === 1
  // AltGr writes signs on many keyboards and looks like Ctrl and Alt.
  const writing = written && event.getModifierState?.("AltGraph")
  const key = written ? event.key.toLowerCase() : event.key
  const letter = written && key !== key.toUpperCase()
  const mod = !writing && (event.ctrlKey || event.metaKey) ? "Mod+" : ""
  const alt = !writing && event.altKey ? "Alt+" : ""
  return `${mod}${alt}${event.shiftKey && (letter || !written) ? "Shift+" : ""}${key}`
}

const isSingle = (chord) => chord.length === 1

// What a binding's `when` is told: the page, the path of elements, where text is typed, an open dialog.
function pressedAt(page, event) {
  const path = event.composedPath().filter((node) => node instanceof Element)
  const target = path[0]
  const typing = !!target && (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) || isTextInput(target))
  return {page, path, target, typing, modal: path.some((node) => node instanceof HTMLDialogElement && node.open)}
}

const isTextInput = (element) => element.tagName === "INPUT" && TEXT_INPUTS.test(element.type)

function isFree({typing, modal}) {
  return !typing && !modal
}

// Nothing else wants this key: neither a menu or such nor a button that has the focus.
function onRows(place) {
  const own = place.path.some((node) => OWN_KEYS.test(node.getAttribute("role")))
  return isFree(place) && !own && !place.target?.matches(CONTROLS)
}

function onRowsOrFilter(place) {
  return onRows(place) || (!!place.target && place.target === filterBox(place.page))
}

function inTable(place) {
  return onRows(place) && place.path.includes(firstTable(place.page)?.view?.el)
}

// What is marked as text is copied by the browser.
function canCopy(place) {
  const marked = String(document.getSelection() ?? "") !== ""
  return isFree(place) && !marked && !!firstTable(place.page)
}

function canClear(place) {
  const box = filterBox(place.page)
  return !!box && (place.target === box || (isFree(place) && box.value !== ""))
}

function nextList(page, {key}) {
  firstLists(page)?.step(key === "[" ? -1 : 1)
}

function toFilter(page) {
  const box = filterBox(page)
  box?.focus()
  box?.select()
}

function clearFilter(page) {
  const box = filterBox(page)
  box.value = ""
  box.dispatchEvent(new Event("input", {bubbles: true}))
  box.blur()
}

// Handler of keydown on the document. What a part has handled itself (defaultPrevented) is left alone.
export function onKey(page) {
  return (event) => {
    if (event.defaultPrevented || event.isComposing) return
    const chord = chordOf(event)
    const binding = BINDINGS.find(({keys}) => keys.includes(chord))
    if (!binding || (isSingle(chord) && !singleKeysOn())) return
    if (!(binding.when ?? isFree)(pressedAt(page, event))) return
    event.preventDefault()
    if (event.repeat && !binding.repeat) return
    binding.do(page, {key: chord.slice(chord.lastIndexOf("+") + 1), shift: event.shiftKey})
  }
}

// -- the sheet ----------------------------------------------------------------------------------------------------

const CAPS = {
  ArrowUp: "↑", ArrowDown: "↓", PageUp: "PgUp", PageDown: "PgDn", Escape: "Esc", Delete: "Del", Backspace: "⌫",
  Mod: "Ctrl",
}
const MAC_CAPS = {Mod: "⌘", Alt: "⌥"}

// "Mod+c" -> ["Ctrl", "C"], with the Mac's own word on a Mac.
export function capsOf(chord, mac = /Mac|iP/.test(navigator.platform)) {
  return chord.split("+").map((key) => ((mac && MAC_CAPS[key]) || CAPS[key] || (key.length === 1 ? key.toUpperCase() : key)))
}

export function helpSheet() {
  const dialog = sheetNode("dialog", {className: "sheet help"})
  dialog.setAttribute("aria-labelledby", "keys-title")
  // A click beside the buttons leaves the focus inside.
  dialog.tabIndex = -1
  const close = sheetNode("button", {type: "button", textContent: "×", ariaLabel: "Close"})
  close.addEventListener("click", () => dialog.close())
  const title = sheetNode("h2", {id: "keys-title", textContent: "Keyboard"})
  const groups = [...new Set(BINDINGS.map(({group}) => group))].map(groupOf)
  dialog.append(sheetNode("header", {}, title, close), sheetNode("div", {className: "groups"}, ...groups), singleKeysSwitch())
  dialog.addEventListener("click", (event) => { if (event.target === dialog && !inside(dialog, event)) dialog.close() })
  dialog.addEventListener("keydown", (event) => {
    if (chordOf(event) !== "?") return
    event.preventDefault()
    dialog.close()
  })
  return dialog
}

// The backdrop belongs to the dialog, and so does its own padding.
function inside(dialog, {clientX, clientY}) {
  const box = dialog.getBoundingClientRect()
  return clientX >= box.left && clientX <= box.right && clientY >= box.top && clientY <= box.bottom
}

function groupOf(group) {
  const lines = BINDINGS.filter((binding) => binding.group === group).map(({keys, what}) => {
    const caps = keys.flatMap((chord, n) => {
      const own = capsOf(chord)
      // What several keys have in common is said once: Shift ↑ ↓.
      return n && own.length > 1 ? own.slice(-1) : own
    })
    const shown = caps.map((cap) => sheetNode("kbd", {textContent: cap}))
    return sheetNode("div", {}, sheetNode("dt", {}, ...shown), sheetNode("dd", {textContent: what}))
  })
  return sheetNode("section", {ariaLabel: group}, sheetNode("h3", {textContent: group}), sheetNode("dl", {}, ...lines))
}

function singleKeysSwitch() {
  const box = sheetNode("input", {type: "checkbox", checked: singleKeysOn()})
  box.addEventListener("change", () => setSingleKeys(box.checked))
  const label = sheetNode("label", {}, box, sheetNode("span", {textContent: "Keys of a single letter, digit or sign"}))
  const never = "They never count while a text field has the focus."
  const off = "Turn them off if something else types for you: a voice, a switch."
  return sheetNode("footer", {}, label, sheetNode("p", {textContent: `${never} ${off}`}))
}

// On unless this browser was told otherwise; one that keeps nothing has them on.
function singleKeysOn() {
  try {
    return localStorage.getItem(SINGLE_KEYS_NAME) !== "off"
  } catch {
    return true
  }
}

function setSingleKeys(on) {
  try {
    localStorage.setItem(SINGLE_KEYS_NAME, on ? "on" : "off")
  } catch {
    // Storage may be forbidden: then they stay on.
  }
}

function sheetNode(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}
