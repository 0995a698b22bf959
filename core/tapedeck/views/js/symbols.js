// Instruments that a person pasted: from a mail, a spreadsheet, another program's list.

const HEADINGS = new Set(["instrument", "symbol", "tradingsymbol", "key", "ticker", "scrip"])
const EXCHANGES = new Set(["NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO"])

// Whether a file's text is one: bytes of a picture or an archive have control characters.
export const isText = (text) => !/[\x00-\x08\x0e-\x1f]/.test(text)

// Keys EXCHANGE:TRADINGSYMBOL of a text, each once, in order, and the words that cannot be one. One per line or cell;
// without an exchange NSE is meant. Of a table with a heading only the column of instruments counts (and its column
// `exchange`).
export function parseSymbols(text) {
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/).map((line) => cells(line)).filter((line) => line.some(Boolean))
  if (!lines.length) return {keys: [], unread: []}
  const heading = lines[0].map((cell) => cell.toLowerCase())
  const at = heading.findIndex((cell) => HEADINGS.has(cell))
  const found = at >= 0 ? column(lines.slice(1), at, heading.indexOf("exchange")) : lines.flat()
  const words = found.filter((word) => word.trim())
  return {keys: [...new Set(words.map(toKey).filter(Boolean))], unread: words.filter((word) => !toKey(word))}
}

function column(lines, at, exchange) {
  return lines.map((line) => {
    const symbol = line[at] ?? ""
    return symbol && exchange >= 0 && !symbol.includes(":") && line[exchange] ? `${line[exchange]}:${symbol}` : symbol
  })
}

function cells(line) {
  const out = []
  for (const match of line.matchAll(/"((?:[^"]|"")*)"|([^,;\t]+)/g)) {
    out.push((match[1]?.replaceAll('""', '"') ?? match[2]).trim())
  }
  return out
}

export function toKey(word) {
  const text = word.trim().replace(/^['*•-]+\s*/, "").replace(/\s+/g, " ").toUpperCase()
  if (!/^[\x20-\x7e]{1,64}$/.test(text)) return ""
  const [lead, ...rest] = text.split(":")
  if (rest.length) return EXCHANGES.has(lead.trim()) && rest.join(":").trim() ? `${lead.trim()}:${rest.join(":").trim()}` : ""
  return `NSE:${text.replace(/\.NS$/, "")}`
}
