// What the page knows of the market, and whether it may still show it.
//
// State: rows by token (values, flags, phase), the newest header (epoch, sequence, feed age and when it
// arrived), the last welcome and state messages, and since when the rows may have missed something (`gapSince`).
// Nothing here touches the DOM or the network; every question takes the time (performance.now()).

import {CONFIRMED, DELTA, F, FIELDS, HELD, PHASES, SNAPSHOT, WrongVersion, decode, eachRecord} from "./wire.js"
import {clockText, dayText, yyyymmddOf} from "./format.js"

export const FRESH_TTL = 5
export const LATE_AFTER = 3

const STATE_REASONS = {
  IDLE: "feed not started",
  CONNECTING: "connecting to the exchange",
  STALE: "feed silent",
  BACKOFF: "feed lost, reconnecting",
  LOGIN_REQUIRED: "login required",
  STANDBY: "another desk owns the feed",
}

export class Market {
  constructor(now) {
    this.startedAt = now
    this.connected = false
    this.loggedOut = false
    this.problem = ""
    // Why the desk does not give what this page asked for; "" when it does.
    this.refusal = ""
    this.run = undefined
    this.source = ""
    this.simulated = false
    this.replay = false
    this.refused = 0
    this.welcomed = false
    this.counters = {}
    this.login = {}
    this.phases = {}
    this.frameTimes = []
    this.worstAges = []
    this.framesMark = null
    this.messagesPerSecond = NaN
    this.drop()
  }

  // Forget every number: another source, another epoch, or a desk that started anew.
  drop() {
    this.rows = new Map()
    this.byKey = new Map()
    this.epoch = null
    this.sequence = -1
    this.arrivedAt = null
    this.feedAge = -1
    this.feedState = "IDLE"
    this.feedReason = ""
    this.marketMs = NaN
    this.marketSpeed = 1
    this.clockMark = null
    this.gapSince = null
  }

  // Whether a welcome is of another desk, run or source than everything before.
  isAnother(message) {
    if (!this.welcomed) return false
    return message.run !== this.run || message.source !== this.source || (this.epoch !== null && message.epoch !== this.epoch)
  }

  welcome(message) {
    if (this.isAnother(message)) this.drop()
    this.run = message.run
    this.refusal = ""
    this.epoch = message.epoch
    this.source = message.source
    this.simulated = !!message.simulated
    this.unknown = new Set(message.unknown ?? [])
    this.byKey = new Map()
    const kept = new Map()
    for (const instrument of message.instruments) {
      const token = instrument.instrument_token
      const known = this.rows.get(token)
      // The exchanges give the tokens of expired contracts to others: their numbers are not this one's.
      const row = known?.instrument.key === instrument.key ? known : {token, flags: 0, phase: "CLOSED", values: null, version: 0}
      row.instrument = instrument
      row.tick = instrument.tick_size
      kept.set(token, row)
      this.byKey.set(instrument.key, row)
    }
    this.rows = kept
    this.welcomed = true
    this.problem = ""
  }

  state(message, now) {
    this.source = message.source ?? this.source
    this.simulated = message.simulated ?? this.simulated
    this.phases = message.phases ?? {}
    this.counters = message.counters ?? {}
    this.login = message.login ?? {}
    this.countFrames(now)
    if (message.feed) {
      this.feedState = message.feed.state
      this.feedReason = message.feed.reason ?? ""
    }
  }

  // The desk counts the exchange's frames since its start; the strip shows how many a second.
  countFrames(now) {
    const frames = this.counters.frames
    const mark = this.framesMark
    if (mark && now - mark.now < 900) return
    const rate = mark ? ((frames - mark.frames) * 1000) / (now - mark.now) : NaN
    this.messagesPerSecond = rate >= 0 ? rate : NaN
    this.framesMark = {frames, now}
  }

  // Rows that changed, or null when the frame could not be used. A desk that started anew empties everything
  // first; `lost` then asks for a snapshot.
  frame(buffer, now) {
    let frame
    try {
      frame = decode(buffer)
    } catch (error) {
      this.refused += 1
      if (error instanceof WrongVersion) this.problem = "the desk was updated: reload the page"
      return null
    }
    const restarted = this.epoch !== null && (frame.epoch !== this.epoch || frame.sequence < this.sequence)
    if (restarted) this.drop()
    const snapshot = frame.kind === SNAPSHOT
    const missing = this.sequence < 0 && !snapshot
    this.header(frame, now)
    if (snapshot) this.gapSince = null
    if (frame.kind < DELTA || missing) return {changed: [], snapshot, restarted, lost: missing}
    return {changed: this.records(frame, snapshot), snapshot, restarted, lost: false}
  }

  header(frame, now) {
    this.epoch = frame.epoch
    if (frame.kind === SNAPSHOT || this.sequence >= 0) this.sequence = frame.sequence
    this.feedAge = frame.feedAge
    if (frame.feedState !== this.feedState) this.feedReason = ""
    this.feedState = frame.feedState
    this.simulated = frame.simulated
    this.replay = frame.replay
    this.arrivedAt = now
    this.marketMs = frame.marketMs
    this.learnSpeed(frame.marketMs, now)
    this.frameTimes.push(now)
    while (this.frameTimes[0] < now - 5000) this.frameTimes.shift()
  }

  // Market time may run fast (simulator, replay): learned from the frames, so that the clock ticks evenly.
  learnSpeed(marketMs, now) {
    const mark = this.clockMark
    if (mark && now - mark.now < 1000) return
    if (mark) {
      const speed = (marketMs - mark.marketMs) / (now - mark.now)
      this.marketSpeed = speed >= 0 && speed <= 1000 ? speed : 1
    }
    this.clockMark = {marketMs, now}
  }

  records(frame, snapshot) {
    const changed = []
    const seen = snapshot ? new Set() : null
    eachRecord(frame, (token, flags, phase, numbers, at) => {
      const row = this.rows.get(token)
      if (!row) return
      row.flags = flags
      row.phase = PHASES[phase] ?? "CLOSED"
      row.values ??= new Float64Array(FIELDS.length)
      for (let i = 0; i < FIELDS.length; i++) row.values[i] = numbers[at + i]
      row.version += 1
      seen?.add(token)
      changed.push(row)
    })
    // What a snapshot does not mention has no number any more.
    if (seen) for (const row of this.rows.values()) if (!seen.has(row.token) && row.values) {
      row.values = null
      row.version += 1
      changed.push(row)
    }
    return changed
  }

  // From `now` on frames may be missed (hidden tab, lost socket): the rows age until a snapshot arrives.
  gap(now) {
    this.gapSince ??= now
  }

  // Seconds since the newest frame; Infinity before the first one.
  wireAge(now) {
    return this.arrivedAt === null ? Infinity : (now - this.arrivedAt) / 1000
  }

  // Seconds since the feed behind the desk has last proven alive, as far as this page can know.
  feedAgeNow(now) {
    return this.arrivedAt === null || this.feedAge < 0 ? Infinity : this.feedAge + this.wireAge(now)
  }

  marketNow(now) {
    if (this.wireAge(now) > FRESH_TTL || !Number.isFinite(this.marketMs)) return NaN
    return this.marketMs + (now - this.arrivedAt) * this.marketSpeed
  }

  // {state: loading | live | late | blank, age, reason, dead}; `dead`: not even the desk is heard.
  verdict(now) {
    const wire = this.wireAge(now)
    const gap = this.gapSince === null ? 0 : (now - this.gapSince) / 1000
    const age = Math.max(this.feedAgeNow(now), gap)
    const no = (reason, dead = false) => ({state: "blank", age, reason, dead})
    if (this.problem) return no(this.problem, true)
    if (this.loggedOut) return no("logged out: reload the page to log in", true)
    if (this.arrivedAt === null && now - this.startedAt < FRESH_TTL * 1000) {
      return {state: "loading", age, reason: "connecting to the desk", dead: true}
    }
    if (this.arrivedAt === null && this.connected) return no("waiting for the first numbers", true)
    if (wire > FRESH_TTL || gap > FRESH_TTL) {
      if (!this.connected) return no("desk not reachable, retrying", true)
      return no(wire > FRESH_TTL ? "desk silent, waiting" : "catching up", true)
    }
    if (this.feedState !== "LIVE") return no(this.feedReason || STATE_REASONS[this.feedState] || this.feedState)
    if (age > FRESH_TTL) return no(Number.isFinite(age) ? `no heartbeat ${Math.floor(age)} s` : "no heartbeat yet")
    return {state: age > LATE_AFTER ? "late" : "live", age, reason: "", dead: false}
  }

  // What may be shown of one instrument: {mode: loading | live | late | closed | blank, reason}.
  view(key, verdict) {
    const row = this.byKey.get(key)
    if (verdict.state === "loading") return {mode: "loading", reason: verdict.reason}
    if (verdict.dead) return {mode: "blank", reason: verdict.reason}
    if (!row && this.refusal) return {mode: "blank", reason: this.refusal}
    if (!row && this.awaiting) return {mode: "loading", reason: "subscribing"}
    if (!row) return {mode: "blank", reason: this.unknown?.has(key) ? "not in today's instrument list" : "not subscribed yet"}
    if (!row.values) return {mode: "blank", reason: verdict.reason || "waiting for the first tick"}
    if (!(row.flags & HELD)) {
      if (row.values[F.official_close] > 0) return {mode: "closed", reason: `${row.phase}: official price`}
      return {mode: "blank", reason: "no official price yet"}
    }
    if (verdict.state === "blank") return {mode: "blank", reason: verdict.reason}
    if (!(row.flags & CONFIRMED)) {
      const old = row.values[F.official_close] > 0
      return {mode: old ? "closed" : "blank", reason: unconfirmed(row.values)}
    }
    return {mode: verdict.state, reason: verdict.state === "late" ? "feed is late" : ""}
  }

  anyIn(phase) {
    for (const row of this.rows.values()) if (row.phase === phase) return true
    return false
  }

  framesPerSecond(now) {
    const recent = this.frameTimes.filter((t) => t > now - 5000)
    return recent.length > 1 ? (recent.length - 1) / Math.max(1, (now - recent[0]) / 1000) : recent.length
  }

  // Largest feed age of the last minute, sampled whenever the page is drawn.
  worstAge(now, age) {
    if (Number.isFinite(age)) this.worstAges.push([now, age])
    while (this.worstAges.length && (this.worstAges[0][0] < now - 60000 || this.worstAges.length > 600)) {
      this.worstAges.shift()
    }
    return this.worstAges.reduce((worst, sample) => Math.max(worst, sample[1]), 0)
  }
}

function unconfirmed(values) {
  const at = values[F.last_trade_time_ms] || values[F.exchange_timestamp_ms]
  return at > 0 ? `not confirmed: last known value is of ${dayText(at)} ${clockText(at)}` : "not confirmed yet"
}

// Numbers of one instrument by column name, NaN where nothing may be shown.
export function numbers(row, mode) {
  const out = {}
  const live = mode === "live" || mode === "late"
  if (!row?.values || !(live || mode === "closed")) return out
  const v = row.values
  if (live) for (let i = 0; i < FIELDS.length; i++) out[FIELDS[i]] = v[i]
  if (mode === "closed") {
    out.last_price = v[F.official_close]
    // The day's other numbers are shown only when they are of the very day the official price is dated, and never
    // beside live neighbours.
    if (!(row.flags & HELD) && yyyymmddOf(v[F.exchange_timestamp_ms]) === v[F.official_date]) {
      for (const name of ["close", "open", "high", "low", "average_traded_price", "volume_traded"]) out[name] = v[F[name]]
    }
  }
  out.change = out.last_price - out.close
  out.percent = out.close > 0 ? (out.change / out.close) * 100 : NaN
  // Before the first trade of the day the last price is an earlier day's: it is dated, and no change is made of it.
  const traded = v[F.last_trade_time_ms]
  if (live && traded > 0 && yyyymmddOf(traded) < yyyymmddOf(v[F.exchange_timestamp_ms])) {
    out.untraded = true
    out.change = out.percent = NaN
  }
  return out
}
