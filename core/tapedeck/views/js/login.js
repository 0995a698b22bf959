// The login to Kite: what the app bar says of it, and the window it is done in.

import {BLANK} from "./format.js"

const WINDOW = "tapedeck-kite-login"
const SIZE = "popup,width=560,height=760"
const NEEDED = ["LOGIN_REQUIRED", "EXPIRED", "REVOKED"]

// {text, state, title} of the button. Whether numbers may be shown is not decided by it.
export function loginText(market, verdict) {
  const {state, cause = "", user_id: user} = market.login
  if (verdict.dead || !state) return {text: BLANK, state: "", title: verdict.reason}
  if (NEEDED.includes(state)) return {text: "LOGIN", state: "warn", title: `Log in to Kite in a window of its own: ${cause}`}
  if (state === "UNCONFIGURED") return {text: "not set up", state: "warn", title: cause}
  if (state === "EXCHANGING") return {text: "logging in", state: "", title: cause}
  if (market.simulated && !user) return {text: "no login", state: "", title: "the simulated exchange needs no login"}
  return {text: user || "logged in", state: "", title: `logged in to Kite${user ? ` as ${user}` : ""}: ${cause}`}
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
    if (opened) opened.location.replace(url)
    else location.assign(url)
  } catch (error) {
    opened?.close()
    page.shell.say(error.status ? `no login: ${error.message}` : "no login: the desk is not reachable")
  }
}
