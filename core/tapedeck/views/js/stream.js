// One websocket to the desk that comes back by itself, rests while the tab is hidden and never queues.

const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 2000
// A half-open connection says nothing for ever; the desk says something every second.
const SILENCE_MS = 6000

export class Stream {
  // `on`: {open, text, frame, gone}, each called with what arrived.
  constructor(url, {keys, rate, on}) {
    this.url = url
    this.keys = keys
    this.rate = rate
    this.on = on
    this.socket = null
    this.timer = null
    this.retry = FIRST_RETRY_MS
    this.connects = 0
    this.failures = 0
    this.heardAt = performance.now()
    this.paused = false
    this.closed = false
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
      this.send({a: "hello", v: this.keys, rate: this.rate})
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
    socket.onclose = () => this.lost(socket)
  }

  lost(socket) {
    if (socket !== this.socket) return
    this.socket = null
    this.failures += 1
    if (this.closed) return
    this.on.gone()
    // Jitter: a desk that restarts is not met by all its viewers in the same instant.
    const wait = this.retry * (0.75 + Math.random() / 4)
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
    this.socket?.close()
    this.socket = null
  }
}
