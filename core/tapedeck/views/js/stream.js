// One websocket to the desk that comes back by itself, rests while the tab is hidden and never queues.
//
// State: the socket, what the page wishes (keys, and by action: focus, depth, topics), which of it was said on this
// connection, the retry. Wishes are said at most every 0.4 s, the newest only: the desk allows ten messages a second.

const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 2000
// A half-open connection says nothing for ever; the desk says something every second.
const SILENCE_MS = 6000
const WISH_MS = 400
// What the desk refused is said again after a while, and later each time.
const REFUSED_MS = 1500
const REFUSED_LONGEST_MS = 12000
// The desk ends a stream with this code when its login has ended; another tab may log in again meanwhile.
const LOGGED_OUT = 4401
const LOGGED_OUT_RETRY_MS = 10000

export class Stream {
  // `on`: {open, text, frame, gone}, each called with what arrived.
  constructor(url, {keys, rate, on}) {
    this.url = url
    this.keys = keys
    this.rate = rate
    this.on = on
    this.wishes = {focus: null, depth: [], topics: []}
    this.said = {}
    this.socket = null
    this.timer = null
    this.wishTimer = null
    this.refusedTimer = null
    this.refusals = 0
    this.retry = FIRST_RETRY_MS
    this.connects = 0
    this.failures = 0
    this.heardAt = performance.now()
    // Keys whose welcome has not come yet: their rows are loading, not blank.
    this.awaitsWelcome = true
    this.paused = false
    this.closed = false
    this.loggedOut = false
  }

  open() {
    if (this.closed || this.socket) return
    this.timer = null
    const socket = new WebSocket(this.url)
    socket.binaryType = "arraybuffer"
    this.socket = socket
    this.heardAt = performance.now()
    socket.onopen = () => {
      if (socket !== this.socket) return
      this.connects += 1
      this.loggedOut = false
      this.hello()
      if (this.paused) this.send({a: "pause"})
      this.on.open()
    }
    socket.onmessage = (event) => {
      if (socket !== this.socket) return
      this.heardAt = performance.now()
      this.retry = FIRST_RETRY_MS
      if (typeof event.data === "string") this.on.text(event.data)
      else this.on.frame(event.data)
    }
    socket.onclose = (event) => this.lost(socket, event.code)
  }

  hello() {
    this.said = {keys: JSON.stringify(this.keys)}
    this.awaitsWelcome = true
    this.send({a: "hello", v: this.keys, rate: this.rate})
    this.sayWishes()
  }

  welcomed() {
    this.awaitsWelcome = false
    this.refusals = 0
  }

  refused() {
    this.awaitsWelcome = false
    if (this.refusedTimer !== null) return
    const wait = Math.min(REFUSED_MS * 2 ** this.refusals, REFUSED_LONGEST_MS)
    this.refusals += 1
    this.refusedTimer = setTimeout(() => {
      this.refusedTimer = null
      this.said = {}
      this.sayAll()
    }, wait)
  }

  // Subscribe to exactly these keys from now on.
  setKeys(keys) {
    this.keys = keys
    this.later()
  }

  // What else is wanted; `action` is focus, depth or topics, `values` a list (null: nothing said).
  wish(action, values) {
    this.wishes[action] = values
    this.later()
  }

  later() {
    if (this.wishTimer !== null) return
    this.sayAll()
    this.wishTimer = setTimeout(() => { this.wishTimer = null; this.sayAll() }, WISH_MS)
  }

  sayAll() {
    if (!this.isOpen) return
    if (JSON.stringify(this.keys) !== this.said.keys) {
      this.hello()
      if (this.paused) this.send({a: "pause"})
    } else {
      this.sayWishes()
    }
  }

  sayWishes() {
    for (const [action, values] of Object.entries(this.wishes)) {
      const text = JSON.stringify(values)
      const quiet = values === null || (!values.length && this.said[action] === undefined && action !== "focus")
      if (quiet || this.said[action] === text) continue
      this.said[action] = text
      this.send({a: action, v: values})
    }
  }

  lost(socket, code) {
    if (socket !== this.socket) return
    if (code === LOGGED_OUT) this.loggedOut = true
    this.socket = null
    this.failures += 1
    if (this.closed) return
    this.on.gone()
    // Jitter: a desk that restarts is not met by all its viewers in the same instant.
    const wait = (this.loggedOut ? LOGGED_OUT_RETRY_MS : this.retry) * (0.75 + Math.random() / 4)
    this.retry = Math.min(this.retry * 2, LAST_RETRY_MS)
    this.timer = setTimeout(() => this.open(), wait)
  }

  // Called on every drawing: gives up a connection that stays silent.
  watch(now) {
    if (this.socket && !this.paused && now - this.heardAt > SILENCE_MS) {
      const socket = this.socket
      this.lost(socket)
      socket.close()
    }
  }

  get isOpen() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN
  }

  send(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message))
  }

  pause() {
    this.paused = true
    this.send({a: "pause"})
  }

  resume() {
    this.paused = false
    this.heardAt = performance.now()
    if (this.isOpen) {
      this.send({a: "resume"})
      this.send({a: "snapshot"})
    } else if (!this.socket) {
      clearTimeout(this.timer)
      this.retry = FIRST_RETRY_MS
      this.open()
    }
  }

  close() {
    this.closed = true
    clearTimeout(this.timer)
    clearTimeout(this.wishTimer)
    clearTimeout(this.refusedTimer)
    this.socket?.close()
    this.socket = null
  }
}
