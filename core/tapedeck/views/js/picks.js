// The instruments picked lately, kept by this browser for the next search.

import {yyyymmddOf} from "./format.js"

const PICKS_NAME = "tapedeck.picks"
const MOST_PICKS = 10
const PICK_FIELDS = {
  key: "", tradingsymbol: "", name: "", exchange: "", segment: "", instrument_type: "", expiry: null, strike: 0, lot_size: 0,
}

// The last one first, without contracts that had ended at `marketMs`; none when the browser keeps nothing.
export function readPicks(marketMs = NaN) {
  const today = yyyymmddOf(marketMs)
  const ended = ({expiry}) => typeof expiry === "string" && Number(expiry.replaceAll("-", "")) < today
  try {
    const kept = JSON.parse(localStorage.getItem(PICKS_NAME) ?? "[]")
    return kept.filter((row) => typeof row?.key === "string" && typeof row.tradingsymbol === "string" && !ended(row)).slice(0, MOST_PICKS)
  } catch {
    return []
  }
}

export function rememberPick(row) {
  const pick = Object.fromEntries(Object.entries(PICK_FIELDS).map(([name, none]) => [name, row[name] ?? none]))
  try {
    const others = readPicks().filter((one) => one.key !== row.key)
    localStorage.setItem(PICKS_NAME, JSON.stringify([pick, ...others].slice(0, MOST_PICKS)))
  } catch {
    // A browser that keeps nothing still searches.
  }
}
