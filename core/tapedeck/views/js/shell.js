// What belongs to the page as a whole: theme, palette, density, the help sheet, and short words at the foot.
//
// `element` lies in the relay client's own shadow root and holds the dialogs; it takes no room.

import {helpSheet} from "./keys.js"

// The first paint reads the scheme from here, before the desk has said anything.
const THEME_KEY = "tapedeck.theme"
const WORD_MS = 6000
const DENSITIES = ["compact", "normal", "relaxed"]
// The pair for colour-blind eyes, per scheme, with a contrast of 4.5 and more.
const PALETTES = {
  standard: {},
  "colour-blind": {"dark-up": "#56B4E9", "dark-down": "#E69F00", "light-up": "#0369A1", "light-down": "#9A4A00"},
}

export class Shell {
  constructor(page) {
    this.page = page
    this.element = document.createElement("div")
    this.sheet = helpSheet()
    this.word = document.createElement("div")
    this.word.className = "word"
    this.word.setAttribute("role", "status")
    this.element.append(this.sheet, this.word)
    this.timer = null
  }

  start() {
    const data = this.page.view.root.model.data
    this.theme = data?.dark_theme === undefined ? null : data
    this.theme?.properties.dark_theme.change.connect(() => this.themed())
    this.page.workspace.on(() => this.apply())
    this.apply()
    this.themed()
  }

  // -- theme, palette, density ----------------------------------------------------------------------------------

  get dark() {
    return this.theme ? this.theme.dark_theme : true
  }

  // Show what the workspace says.
  apply() {
    const {theme, palette, density} = this.page.workspace.document
    const root = document.documentElement
    if (this.theme && theme && (theme === "dark") !== this.dark) this.theme.dark_theme = theme === "dark"
    root.dataset.palette = palette ?? "standard"
    root.dataset.density = density ?? "normal"
    const inks = PALETTES[palette] ?? {}
    for (const name of Object.keys(PALETTES["colour-blind"])) {
      if (inks[name]) root.style.setProperty(`--td-alt-${name}`, inks[name])
      else root.style.removeProperty(`--td-alt-${name}`)
    }
  }

  themed() {
    const theme = this.dark ? "dark" : "light"
    document.documentElement.dataset.scheme = theme
    try {
      localStorage.setItem(THEME_KEY, theme)
    } catch {
      // Storage may be forbidden; the workspace remembers it all the same.
    }
    this.page.draw()
  }

  toggleTheme() {
    this.page.workspace.change({theme: this.dark ? "light" : "dark"})
  }

  cycleDensity() {
    const at = DENSITIES.indexOf(this.page.workspace.document.density)
    const density = DENSITIES[(at + 1) % DENSITIES.length]
    this.page.workspace.change({density})
    this.say(`rows: ${density}`)
  }

  togglePalette() {
    const palette = this.page.workspace.document.palette === "colour-blind" ? "standard" : "colour-blind"
    this.page.workspace.change({palette})
    this.say(`${palette} colours`)
  }

  // -- help and words -------------------------------------------------------------------------------------------

  toggleHelp() {
    if (this.sheet.open) this.sheet.close()
    else this.sheet.showModal()
  }

  // A short word at the foot of the page, with a way back when there is one.
  say(text, {undo} = {}) {
    clearTimeout(this.timer)
    this.word.textContent = text
    if (undo) {
      const button = this.word.appendChild(document.createElement("button"))
      button.textContent = "Undo"
      button.addEventListener("click", () => { undo(); this.hush() })
    }
    this.word.dataset.on = "yes"
    this.timer = setTimeout(() => this.hush(), WORD_MS)
  }

  hush() {
    this.word.textContent = ""
    delete this.word.dataset.on
  }
}
