// Numbers as the desk writes them; the twin of text.py, run through the same table of examples.

export const BLANK = "—"
export const MINUS = "−"
const LAKH = 100000
const CRORE = 10000000
const MIN_DECIMALS = 2
const MAX_DECIMALS = 6
const IST_OFFSET_MS = 19800000
export const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

const absent = (value) => value === null || value === undefined || !Number.isFinite(value)
const two = (n) => String(n).padStart(2, "0")

export function decimals(tick) {
  if (!Number.isFinite(tick) || tick <= 0) return MIN_DECIMALS
  for (let places = MIN_DECIMALS; places < MAX_DECIMALS; places++) {
    const steps = tick * 10 ** places
    if (Math.abs(steps - Math.floor(steps + 0.5)) < 1e-6) return places
  }
  return MAX_DECIMALS
}

export function group(digits) {
  let head = digits.slice(0, -3)
  let out = digits.slice(-3)
  while (head) {
    out = head.slice(-2) + "," + out
    head = head.slice(0, -2)
  }
  return out
}

export function fixed(value, places) {
  const text = Math.abs(value).toFixed(places)
  const point = text.indexOf(".")
  const whole = point < 0 ? text : text.slice(0, point)
  const sign = value < 0 && /[1-9]/.test(text) ? MINUS : ""
  return sign + group(whole) + (point < 0 ? "" : text.slice(point))
}

const signed = (text) => (text[0] === MINUS || !/[1-9]/.test(text) ? text : "+" + text)

// What a change is coloured by: the sign that is shown, so that 0.00 has no colour.
export const directionOf = (text) => (text[0] === "+" ? "up" : text[0] === MINUS ? "down" : "")

export const price = (value, tick = 0.05) => (absent(value) ? BLANK : fixed(value, decimals(tick)))
export const change = (value, tick = 0.05) => (absent(value) ? BLANK : signed(fixed(value, decimals(tick))))
export const percent = (value, places = 2) => (absent(value) ? BLANK : signed(fixed(value, places)) + "%")
export const whole = (value) => (absent(value) ? BLANK : fixed(value, 0))

export function quantity(value) {
  if (absent(value)) return BLANK
  if (Math.abs(value) < LAKH) return fixed(value, 0)
  if (Math.abs(value) < CRORE - LAKH / 200) return fixed(value / LAKH, 2) + " L"
  return fixed(value / CRORE, 2) + " Cr"
}

// Bytes: `512 B`, `3.4 MB`, `12 GB`.
export function size(count) {
  if (absent(count)) return BLANK
  const units = ["B", "kB", "MB", "GB", "TB"]
  let value = count
  while (units.length > 1 && value >= 999.5) {
    value /= 1000
    units.shift()
  }
  return `${fixed(value, units[0] === "B" || value >= 99.95 ? 0 : 1)} ${units[0]}`
}

export function elapsed(seconds) {
  if (absent(seconds)) return BLANK
  const n = Math.max(0, Math.floor(seconds))
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (n >= size) return `${Math.floor(n / size)}${unit}`
  }
  return `${n}s`
}

export function countdown(seconds) {
  if (absent(seconds)) return BLANK
  const n = Math.max(0, Math.ceil(seconds))
  const days = Math.floor(n / 86400)
  const hours = Math.floor(n / 3600) % 24
  const minutes = Math.floor(n / 60) % 60
  if (days) return `${days}d ${hours}h`
  if (hours) return `${hours}:${two(minutes)}:${two(n % 60)}`
  return `${minutes}:${two(n % 60)}`
}

// Times come as UTC milliseconds and are shown in IST, whatever the browser's own zone is.
export function clockText(ms) {
  if (absent(ms)) return "--:--:--"
  const t = new Date(ms + IST_OFFSET_MS)
  return `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}`
}

export function dayText(ms) {
  if (absent(ms)) return BLANK
  const t = new Date(ms + IST_OFFSET_MS)
  return `${t.getUTCDate()} ${MONTHS[t.getUTCMonth()]}`
}

// 20261123 -> "23 Nov"
export function yyyymmddText(day) {
  if (absent(day) || day <= 0) return BLANK
  return `${day % 100} ${MONTHS[(Math.floor(day / 100) % 100) - 1]}`
}

// "2026-11-24" -> "24 NOV 26", and "(W)" behind a weekly expiry
export function expiry(day, weekly = false) {
  if (!day) return BLANK
  const [year, month, date] = day.split("-").map(Number)
  return `${date} ${MONTHS[month - 1].toUpperCase()} ${two(year % 100)}${weekly ? " (W)" : ""}`
}

export function yyyymmddOf(ms) {
  if (absent(ms)) return NaN
  const t = new Date(ms + IST_OFFSET_MS)
  return t.getUTCFullYear() * 10000 + (t.getUTCMonth() + 1) * 100 + t.getUTCDate()
}
