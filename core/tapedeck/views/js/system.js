// The System page: asks the desk for its report every two seconds while it can be seen, and fills the tiles.
//
// State: the newest report and when it came, the question on its way, why the last one failed, and per part of the
// page what was drawn last: a part is made anew only when its rows have changed.

import {BLANK, clockText, countdown, dayText, size, whole} from "./format.js"
import {setData, setText} from "./tiles.js"

const ASK_EVERY_MS = 2000
// A report older than this is not shown as how things are.
const STALE_MS = 6000
const COPIED_MS = 2000
// So long the second press of a button counts that asks whether it is meant.
const MEANT_MS = 4000
const GOOD = new Set(["LIVE", "VALID"])
// States in which nothing is wrong yet, or nothing is asked for.
const CALM = new Set(["", BLANK, "IDLE", "CONNECTING", "EXCHANGING", "no login needed"])
const LEVELS = {
  ok: "M3 6.5 5.2 8.8 9.2 3.8",
  warning: "M6 1.8 11 10.4H1zM6 5v2.4M6 8.8v.2",
  error: "M3 3l6 6M9 3l-6 6",
}
// Names of hours as a trader would say them.
const CLASSES = {
  cas: "F&O", other: "other", index: "indices", option: "options", future: "futures", future_m1: "near future",
  future_far: "far futures", index_contract_expiring_today: "expiring options", index_future_expiring_today: "expiring future",
  currency: "currency", nonagri: "non-agri", agri_select: "agri (select)", agri_other: "agri (other)",
}

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

const ms = (iso) => (iso ? Date.parse(iso) : NaN)
const when = (iso) => (iso ? `${dayText(ms(iso))} ${clockText(ms(iso))}` : BLANK)
const at = (object, path) => path.split(".").reduce((found, name) => found?.[name], object)

export class System {
  // A page about the desk, beside the market: it shows no instruments.
  static aside = true

  constructor(view, spec, page) {
    this.page = page
    this.root = view.shadow_el
    this.tiles = [...this.root.querySelectorAll("[data-tile]")]
    this.facts = [...this.root.querySelectorAll("[data-fact]")]
    this.age = this.root.querySelector("[data-age]")
    this.stale = this.root.querySelector("[data-stale]")
    this.account = this.root.querySelector("[data-account]")
    this.drawn = {}
    this.report = null
    this.begunAt = page.now()
    this.answeredAt = NaN
    this.askedAt = -Infinity
    this.asking = false
    this.problem = ""
    this.stopped = false
    this.wire()
  }

  wire() {
    const $ = (selector) => this.root.querySelector(selector)
    this.copyButton = $("[data-copy]")
    this.recheckButton = $("[data-recheck]")
    this.dialog = $("[data-text-dialog]")
    this.copyButton.addEventListener("click", () => this.copy())
    this.recheckButton.addEventListener("click", () => this.recheck())
    this.logoutButton = $("[data-logout]")
    this.logoutButton.addEventListener("click", () => this.logout())
    $("[data-close]").addEventListener("click", () => this.dialog.close())
  }

  stop() {
    this.stopped = true
    clearTimeout(this.copiedTimer)
    clearTimeout(this.meantTimer)
  }

  // -- asking -----------------------------------------------------------------------------------------------------

  async ask() {
    if (this.asking) return
    this.asking = true
    this.askedAt = this.page.now()
    try {
      const report = await this.page.ask("api/system/report")
      if (this.stopped) return
      this.report = report
      this.answeredAt = this.page.now()
      this.problem = ""
    } catch (error) {
      // A desk that refuses says why; one that is not there says nothing.
      this.problem = error.status ? error.message : "the desk does not answer"
    } finally {
      this.asking = false
    }
    if (!this.stopped) this.page.soon()
  }

  async recheck() {
    this.recheckButton.disabled = true
    try {
      await this.page.ask("api/system/recheck", {method: "POST", body: {}})
      this.page.shell.say("checked again")
    } catch (error) {
      this.page.shell.say(`not checked: ${error.message}`)
    } finally {
      this.recheckButton.disabled = false
    }
    this.askedAt = -Infinity
    this.page.soon()
  }

  // Without a token there are no numbers for anybody: the first press only asks.
  async logout() {
    clearTimeout(this.meantTimer)
    const meant = this.logoutButton.dataset.asked !== undefined
    const words = (text) => setText(this.logoutButton, text)
    const calm = () => { delete this.logoutButton.dataset.asked; words("Log out of Kite") }
    if (!meant) {
      this.logoutButton.dataset.asked = ""
      words("Press again")
      this.meantTimer = setTimeout(calm, MEANT_MS)
      return
    }
    calm()
    try {
      await this.page.ask("api/auth/logout", {method: "POST", body: {}})
      this.page.shell.say("logged out of Kite")
    } catch (error) {
      this.page.shell.say(`not logged out: ${error.message}`)
    }
    this.askedAt = -Infinity
    this.page.soon()
  }

  // -- copying ----------------------------------------------------------------------------------------------------

  async copy() {
    const text = this.report?.text
    if (!text) return this.page.shell.say("there is no report yet")
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      // Not allowed, or not an address the browser trusts: the text is selected, and a key copies it.
      return this.offer(text)
    }
    setText(this.copyButton, "Copied")
    this.page.shell.say("the report is copied")
    clearTimeout(this.copiedTimer)
    this.copiedTimer = setTimeout(() => setText(this.copyButton, "Copy as text"), COPIED_MS)
  }

  offer(text) {
    const area = this.dialog.querySelector("textarea")
    area.value = text
    this.dialog.showModal()
    area.focus()
    area.select()
  }

  // -- drawing ----------------------------------------------------------------------------------------------------

  draw(page) {
    const now = page.now()
    if (document.visibilityState !== "hidden" && now - this.askedAt >= ASK_EVERY_MS) this.ask()
    const age = now - (Number.isFinite(this.answeredAt) ? this.answeredAt : this.begunAt)
    const mode = age > STALE_MS ? "blank" : this.report ? "live" : "loading"
    for (const tile of this.tiles) setData(tile, "mode", mode)
    this.paintHead(mode, age)
    if (this.report) this.paint(mode === "blank", age)
  }

  paintHead(mode, age) {
    const seconds = Math.floor(age / 1000)
    const why = this.problem || "the desk does not answer"
    setText(this.age, mode === "live" ? `as of ${clockText(ms(this.report.at))} IST, ${seconds} s old` : "")
    const since = this.report ? `shown is how it was at ${clockText(ms(this.report.at))}` : "there is nothing to show"
    setText(this.stale, mode === "blank" ? `Not current: ${why}, for ${seconds} s; ${since}` : "")
    this.recheckButton.hidden = !this.report?.can_recheck
    const {user = "", role = ""} = this.report?.access ?? {}
    this.account.hidden = !user
    setText(this.account, `${user} · ${role}`)
    this.logoutButton.hidden = mode !== "live" || !this.report.can_log_out
  }

  paint(dead, age) {
    const {report, page} = this
    // The stream knows market time to a quarter of a second; without it the report's own is taken on.
    this.now = Number.isFinite(page.marketNow) && !page.verdict.dead ? page.marketNow : ms(report.at) + age
    for (const element of this.facts) this.paintFact(element, dead, age)
    this.rows("not_ready", report.not_ready, (rows) => (rows.length ? [`Not ready: ${rows.join("; ")}`] : []))
    this.rows("settings", report.settings, settingRows)
    this.rows("auth.timeline", report.auth.timeline, (rows) => changes(rows, (one) => [`${one.from} → ${one.to}`, one.cause]))
    this.rows("feed.timeline", report.feed.timeline, (rows) => changes(rows, (one) => [one.state, one.reason]))
    this.rows("phases", report.phases, phaseRows)
    this.rows("quota", report.quota, lanes)
    this.rows("storage", report.storage, storageRows)
    this.rows("versions", report.versions, (versions) => Object.entries(versions).map(([name, text]) => pair(name, text)))
    this.paintCountdowns(dead)
    if (dead) for (const number of this.root.querySelectorAll(".lane [data-number]")) setText(number, BLANK)
  }

  // Fill `data-rows=name` with what `build` makes, when the rows are others than those that stand there.
  rows(name, rows, build) {
    const text = JSON.stringify(rows)
    const box = this.drawn[name] ?? {element: this.root.querySelector(`[data-rows="${name}"]`), text: null}
    this.drawn[name] = box
    // What was blanked has to come back also when it is the same again.
    const blanked = name === "quota" && box.element.querySelector("[data-number]")?.textContent === BLANK
    if (box.text === text && !blanked) return
    box.text = text
    box.element.replaceChildren(...build(rows))
  }

  paintFact(element, dead, age) {
    const name = element.dataset.fact
    const {text, title = "", state = ""} = this.fact(name, dead, age)
    setText(element, text)
    if (element.title !== title) element.title = title
    setData(element, "state", state)
  }

  fact(name, dead, age) {
    const {report, page} = this
    const value = at(report, name)
    if (name === "auth.state" || name === "feed.state") return this.stateFact(name, value, dead)
    if (name === "auth.expires_at") {
      const left = (ms(value) - this.now) / 1000
      if (!value || dead) return {text: BLANK}
      return {text: left > 0 ? `${countdown(left)}, at ${when(value)}` : `ended at ${when(value)}`, state: left > 0 ? "" : "warn"}
    }
    if (name === "feed.age_s") {
      const seconds = page.verdict.dead ? (value ?? NaN) + age / 1000 : page.verdict.age
      return {text: dead || !Number.isFinite(seconds) ? BLANK : `${seconds.toFixed(1)} s`}
    }
    if (name === "auth.since" || name === "auth.last_success") return {text: when(value)}
    if (name === "auth.failures") return {text: whole(value), title: report.auth.last_failure, state: value ? "warn" : ""}
    if (typeof value === "number") return {text: dead ? BLANK : whole(value)}
    return {text: value || BLANK, title: value || ""}
  }

  stateFact(name, value, dead) {
    const text = dead ? BLANK : value ?? (name === "auth.state" && this.report.simulated ? "no login needed" : BLANK)
    return {text, state: GOOD.has(text) ? "good" : CALM.has(text) ? "" : "warn"}
  }

  paintCountdowns(dead) {
    for (const cell of this.root.querySelectorAll("[data-until]")) {
      const left = (Number(cell.dataset.until) - this.now) / 1000
      setText(cell, dead ? BLANK : left > 0 ? countdown(left) : "…")
    }
    for (const cell of this.root.querySelectorAll("[data-status]")) {
      setText(cell, dead ? BLANK : cell.dataset.status)
      setData(cell, "state", dead ? "" : cell.dataset.status)
    }
  }
}

// -- rows -----------------------------------------------------------------------------------------------------------

function settingRows(rows) {
  if (!rows.length) return [make("tr", {}, make("td", {className: "none", colSpan: 4, textContent: "The settings have not been checked yet."}))]
  return rows.flatMap((row) => {
    const cells = [make("td", {}, levelOf(row.level)), ...["name", "value", "source"].map((name) => (
      make("td", {textContent: row[name] || BLANK, title: row.level === "ok" && name === "name" ? row.message : row[name]})))]
    const line = make("tr", {}, ...cells)
    if (row.level === "ok") return [line]
    const why = make("td", {colSpan: 4, textContent: row.message})
    if (row.remedy) why.append(make("small", {textContent: row.remedy}))
    return [line, make("tr", {className: "why"}, why)]
  })
}

// A sign and a word: never told by colour alone.
function levelOf(level) {
  const shown = make("span", {className: "level"})
  const sign = `<path d="${LEVELS[level] ?? LEVELS.warning}"/>`
  shown.innerHTML = `<svg viewBox="0 0 12 12" fill="none" stroke="currentColor" stroke-width="1.4" aria-hidden="true">${sign}</svg>`
  shown.append(level)
  shown.dataset.level = level
  return shown
}

function changes(rows, words) {
  if (!rows.length) return [make("li", {className: "none", textContent: "none yet"})]
  return rows.map((one) => {
    const [state, why] = words(one)
    const said = make("div", {}, make("b", {textContent: state}), " ", make("span", {textContent: why}))
    return make("li", {}, make("time", {dateTime: one.at ?? "", textContent: when(one.at)}), said)
  })
}

function phaseRows(rows) {
  return rows.map((row) => {
    const hours = row.all_classes ? "" : row.classes.map((name) => CLASSES[name] ?? name).join(", ")
    const sub = row.sub_phase ? ` · ${row.sub_phase.replaceAll("_", " ")}` : ""
    const why = row.reason ? `: ${row.reason}` : ""
    const status = make("td")
    status.dataset.status = row.status
    const left = make("td", {title: `${row.next_status} at ${when(row.next_transition)}`})
    left.dataset.until = ms(row.next_transition)
    const phase = `${row.phase.replaceAll("_", " ").toLowerCase()}${sub}${why}`
    return make(
      "tr", {}, make("td", {title: `${row.segment} ${hours}`}, row.segment.replace("_", " "), " ", make("small", {textContent: hours})), status,
      make("td", {textContent: phase, title: `${phase}, since ${when(row.since)} until ${when(row.until)}, then ${row.next_phase}`}),
      left, make("td", {textContent: `${row.next_status} ${clockText(ms(row.next_transition)).slice(0, 5)}`, title: when(row.next_transition)}),
    )
  })
}

function lanes(quota) {
  const kinds = Object.entries(quota)
  if (!kinds.length) return [make("div", {className: "none", textContent: "Nothing is asked of Kite: this exchange needs no pacing."})]
  return kinds.map(([kind, now]) => {
    const busy = [
      now.held_s > 0 && `held back ${Math.ceil(now.held_s)} s`, now.waiting > 0 && `${now.waiting} waiting`,
    ].filter(Boolean)
    const been = [
      `${whole(now.last_minute)} in a minute`, now.refusals && `${whole(now.refusals)} refused`,
      now.turned_away && `${whole(now.turned_away)} turned away`, now.waited && `${whole(now.waited)} waited ${now.waited_s} s`,
    ].filter(Boolean)
    const steps = Array.from({length: now.limit_per_s}, (_, i) => make("i"))
    steps.slice(0, now.last_second).forEach((step) => { step.dataset.on = "" })
    const count = make("span", {textContent: `${now.last_second} of ${now.limit_per_s} a second`})
    count.dataset.number = ""
    const words = [...busy, ...been].join(" · ")
    const lane = make(
      "div", {className: "lane"}, make("div", {}, make("b", {textContent: kind}), count, make("small", {textContent: words, title: words})),
      make("div", {className: "meter"}, ...steps),
    )
    lane.dataset.state = busy.length ? "warn" : ""
    return lane
  })
}

function storageRows(storage) {
  if (!storage.folder) return [make("div", {className: "none", textContent: "Nothing is known of the disk."})]
  const parts = Object.entries(storage.bytes).map(([name, count]) => pair(name === "." ? "files" : name, size(count)))
  const total = `${size(storage.total)}${storage.complete ? "" : " and more"}`
  const rows = [pair("folder", storage.folder), ...parts, pair("total", total), pair("free on disk", size(storage.free))]
  if (storage.problem) rows.push(pair("problem", storage.problem, "warn"))
  return rows
}

function pair(name, text, state = "") {
  const value = make("dd", {textContent: text, title: text})
  value.dataset.state = state
  return make("div", {}, make("dt", {textContent: name, title: name}), value)
}
