// The login to Kite: what the app bar says of it, and the window it is done in.

import {BLANK} from "./format.js"

const WINDOW = "tapedeck-kite-login"
const SIZE = "popup,width=560,height=760"
const NEEDED = ["LOGIN_REQUIRED", "EXPIRED", "REVOKED"]
const OPERATOR = "operator"
const LOOK_MS = 500
const LONGEST_MS = 600000
// The window closes itself when the login is done; the desk's word of that may come a little later.
const GRACE_MS = 2500

// {text, state, title, off} of the button. Whether numbers may be shown is not decided by it. `role` is "" until it
// is known: then there is nothing to press yet.
export function loginText(market, verdict, role = OPERATOR) {
  const {state, cause = "", user_id: user} = market.login
  if (verdict.dead || !state) return {text: BLANK, state: "", title: verdict.reason, off: false}
  if (NEEDED.includes(state)) return neededText(cause, role)
  if (state === "UNCONFIGURED") return {text: "not set up", state: "warn", title: cause, off: false}
  if (state === "EXCHANGING") return {text: "logging in", state: "", title: cause, off: false}
  if (market.simulated && !user) return {text: "no login", state: "", title: "the simulated exchange needs no login", off: false}
  return {text: user || "logged in", state: "", title: `logged in to Kite${user ? ` as ${user}` : ""}: ${cause}`, off: false}
}

function neededText(cause, role) {
  if (!role) return {text: "", state: "", title: cause, off: true}
  if (role === OPERATOR) return {text: "LOGIN", state: "warn", title: `Log in to Kite in a window of its own: ${cause}`, off: false}
  return {text: "login needed", state: "warn", title: `ask an operator to log in to Kite: ${cause}`, off: true}
}

// The role of whoever looks, "" until it is known; asked once, and only when a login is needed. A desk that does not
// say leaves it to the press of the button, which the desk refuses with its reason.
export function roleOf(page) {
  if (page.role !== undefined || page.verdict.dead || !NEEDED.includes(page.market.login.state)) return page.role ?? ""
  page.role = ""
  const known = (role) => { page.role = role; page.soon() }
  page.ask("api/access/me").then((said) => known(said.role ?? OPERATOR), () => known(OPERATOR))
  return ""
}

// Whether a login's window was closed before anything came of it. State: since when it is closed.
export class LoginWindow {
  constructor(opened, {cause}, now) {
    Object.assign(this, {opened, cause, begunAt: now, closedAt: Infinity})
  }

  // "open", "closed" (given up), or "done": whatever came of it is told elsewhere, or it is watched no longer.
  look({state, cause}, now) {
    if (!NEEDED.includes(state) || cause !== this.cause || now - this.begunAt > LONGEST_MS) return "done"
    if (this.opened.closed) this.closedAt = Math.min(this.closedAt, now)
    return now - this.closedAt >= GRACE_MS ? "closed" : "open"
  }
}

function watch(page, opened) {
  const login = new LoginWindow(opened, page.market.login, page.now())
  clearInterval(page.loginWatch)
  page.loginWatch = setInterval(() => {
    const seen = login.look(page.market.login, page.now())
    if (seen === "open") return
    clearInterval(page.loginWatch)
    if (seen === "closed") page.shell.say("the login window was closed")
  }, LOOK_MS)
}

// Opens Kite's login in a window, or in this one where windows are not allowed. Whoever is logged in is shown how
// things stand instead.
export async function login(page) {
  const {state, cause} = page.market.login
  if (state === "UNCONFIGURED") return page.shell.say(cause)
  if (!NEEDED.includes(state)) return location.assign(new URL("system", page.base))
  // Before anything is waited for: a browser opens windows only while it hears a click.
  const opened = window.open("about:blank", WINDOW, SIZE)
  try {
    const {login_url: url} = await page.ask("api/auth/login", {method: "POST", body: {}})
    if (!opened) return location.assign(url)
    opened.location.replace(url)
    watch(page, opened)
  } catch (error) {
    opened?.close()
    page.shell.say(error.status ? `no login: ${error.message}` : "no login: the desk is not reachable")
  }
}
