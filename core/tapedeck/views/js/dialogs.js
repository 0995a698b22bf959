// The dialogs of the watchlist: a name, pasted symbols, the columns. One <dialog> in the page's top layer.

import {parseSymbols} from "./symbols.js"

const AT_ONCE = 4
// Instruments that one question is about.
const OF_ONE = 200
// So much of a word that is no symbol is repeated.
const SAID = 24

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && name !== "list") made[name] = value
    else made.setAttribute(name, value)
  }
  made.append(...children)
  return made
}

// A modal dialog with a heading, a body and buttons [text, action]; an action that returns false keeps it open.
function openDialog(page, title, body, buttons) {
  const dialog = element("dialog", {className: "sheet form"})
  dialog.setAttribute("aria-label", title)
  const foot = element("div", {className: "foot"})
  for (const [text, action, kind] of buttons) {
    const button = element("button", {textContent: text, type: "button", className: kind ?? ""})
    button.addEventListener("click", () => { if (action?.() !== false) dialog.close() })
    foot.append(button)
  }
  body.classList.add("body")
  dialog.append(element("h2", {textContent: title}), body, foot)
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close() })
  dialog.addEventListener("close", () => dialog.remove())
  page.shell.element.append(dialog)
  dialog.showModal()
  return dialog
}

// `check(name)` says what is wrong with a name, "" when nothing is.
export function nameDialog(page, {title, value, check, done}) {
  const input = element("input", {type: "text", value, maxLength: 40, spellcheck: false, ariaLabel: "Name of the list"})
  const problem = element("p", {className: "problem", role: "status"})
  const finish = () => {
    problem.textContent = check(input.value)
    if (problem.textContent) return false
    done(input.value)
    return true
  }
  const dialog = openDialog(page, title, element("div", {}, input, problem), [["Cancel"], ["Save", finish, "main"]])
  input.addEventListener("input", () => { problem.textContent = "" })
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return
    // Closing gives the focus back to the button that opened this; the same Enter must not press it.
    event.preventDefault()
    if (finish()) dialog.close()
  })
  input.select()
}

// Paste symbols; what is not listed is said, with the nearest one to take instead. `problem(keys)` says why they cannot
// be added, "" when they can.
export function pasteDialog(page, done, {text = "", from = "", problem = () => ""} = {}) {
  const area = element("textarea", {
    value: text, rows: 10, spellcheck: false, ariaLabel: "Symbols",
    placeholder: "INFY\nNSE:TCS, NSE:NIFTY 50\nNFO:NIFTY26NOVFUT",
  })
  const report = element("div", {className: "report", role: "status"})
  const hint = from ? `From ${from}: check, then add.` : "One symbol a line, or separated by commas or tabs. Without an exchange NSE is meant."
  const body = element("div", {}, element("p", {textContent: hint}), area, report)
  const look = () => {
    const {keys, unread} = parseSymbols(area.value)
    check.className = "main"
    // Before they are looked up: that takes a moment for a long list.
    report.textContent = keys.length ? problem(keys) : "there is no symbol in this text"
    if (!report.textContent) resolveAll(page, keys, unread, report, {
      done: (good) => { dialog.close(); done(good) },
      // What was found waits to be added: the one button that is meant now.
      found: () => { check.className = "" },
    })
    return false
  }
  const dialog = openDialog(page, from ? `Import ${from}` : "Add symbols", body, [["Cancel"], ["Check and add", look, "main"]])
  const check = dialog.querySelector(".foot .main")
  area.addEventListener("input", () => {
    // What was found is of another text.
    report.replaceChildren()
    check.className = "main"
  })
  area.focus()
}

async function resolveAll(page, keys, unread, report, then) {
  const bar = element("progress", {max: keys.length, value: 0})
  report.replaceChildren(bar, element("span", {textContent: `looking up ${keys.length}`}))
  const found = new Map(keys.filter((key) => page.market.byKey.has(key)).map((key) => [key, {key}]))
  const each = async (queue, work) => {
    while (queue.length && bar.isConnected) {
      await work(queue.shift())
      bar.value = found.size
    }
  }
  const inTurns = (queue, work) => Promise.all(Array.from({length: AT_ONCE}, () => each(queue, work)))
  try {
    const asked = keys.filter((key) => !found.has(key))
    const parts = Array.from({length: Math.ceil(asked.length / OF_ONE)}, (_, i) => asked.slice(i * OF_ONE, (i + 1) * OF_ONE))
    await inTurns(parts, async (part) => {
      const said = await page.ask(`api/instruments/listed?${new URLSearchParams(part.map((key) => ["i", key]))}`)
      for (const key of part) if (said.listed[key]) found.set(key, {key})
    })
    await inTurns(keys.filter((key) => !found.has(key)), async (key) => found.set(key, {near: await nearest(page, key)}))
  } catch (error) {
    if (bar.isConnected) report.textContent = `not looked up: ${error.message}`
    return
  }
  // The bar has gone with the dialog, or with the text it was about.
  if (bar.isConnected) conclude(keys, found, unread, report, then)
}

// The key that comes nearest to one that is not listed, if any does: at its exchange, else at any, since a word without
// an exchange may well be a contract's.
async function nearest(page, key) {
  const [exchange, q] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)]
  for (const where of [{exchange}, {}]) {
    const said = await page.ask(`api/instruments?${new URLSearchParams({q, ...where, limit: "1"})}`)
    if (said.instruments?.length) return said.instruments[0].key
  }
  return undefined
}

function conclude(keys, found, unread, report, then) {
  const good = keys.filter((key) => found.get(key).key)
  const bad = keys.filter((key) => !found.get(key).key)
  if (!bad.length && !unread.length) return then.done(good)
  const boxes = bad.map((key) => {
    const {near} = found.get(key)
    const box = element("input", {type: "checkbox", disabled: !near, value: near ?? ""})
    const text = near ? `${key} is not listed; take ${near}` : `${key} is not listed, and nothing comes near`
    return element("label", {}, box, element("span", {textContent: text}))
  })
  const words = unread.map((word) => element("p", {textContent: `“${word.slice(0, SAID)}${word.length > SAID ? "…" : ""}” is no symbol: left out`}))
  const take = () => {
    const chosen = boxes.map((label) => label.firstChild).filter((box) => box.checked).map((box) => box.value)
    then.done([...good, ...chosen])
  }
  const button = element("button", {type: "button", textContent: "Add these", className: "main"})
  button.addEventListener("click", take)
  report.replaceChildren(element("p", {textContent: `${good.length} found, ${bad.length + unread.length} not:`}), ...boxes, ...words, button)
  then.found()
  button.focus()
}

// Check boxes for every column; unchosen means: as many as the width has room for.
export function chooseColumns(page, columns) {
  const free = columns.filter((spec) => !spec.fixed)
  const shown = new Set(page.tables()[0]?.wantedColumns() ?? [])
  const boxes = free.map((spec) => {
    const box = element("input", {type: "checkbox", value: spec.field, checked: shown.has(spec.field)})
    return element("label", {title: spec.hint}, box, element("span", {textContent: spec.title}), element("small", {textContent: spec.hint}))
  })
  const problem = element("p", {className: "problem", role: "status"})
  const apply = ({target}) => {
    const last = !boxes.some((label) => label.firstChild.checked)
    problem.textContent = last ? "one column stays: choose another before this one goes" : ""
    if (last) {
      target.checked = true
      return
    }
    const chosen = new Set(boxes.map((label) => label.firstChild).filter((box) => box.checked).map((box) => box.value))
    const before = page.workspace.document.columns ?? [...shown]
    const kept = before.filter((field) => chosen.has(field))
    const added = free.map((spec) => spec.field).filter((field) => chosen.has(field) && !kept.includes(field))
    page.workspace.change({columns: [...kept, ...added]})
  }
  for (const label of boxes) label.firstChild.addEventListener("change", apply)
  const grid = element("div", {className: "choices"}, ...boxes)
  const hint = element("p", {textContent: "Drag a heading of the table to move its column; click it to sort."})
  const reset = () => page.workspace.change({columns: null})
  openDialog(page, "Columns", element("div", {}, hint, grid, problem), [["By width (default)", reset], ["Done", null, "main"]])
  boxes[0]?.firstChild.focus()
}
