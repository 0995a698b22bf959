// Rows of the table that are dragged to another place of the list.
//
// State: the row that is on its way, if any. This relies on internals of Tabulator 6.4 (modules.moveRow), watched by
// browser tests.

export class RowMoves {
  constructor(table) {
    this.table = table
    this.onKey = (event) => this.key(event)
  }

  listen(tabulator) {
    tabulator.on("rowMoving", () => window.addEventListener("keydown", this.onKey, true))
    tabulator.on("rowMoveCancelled", () => this.stop())
    tabulator.on("rowMoved", (row) => {
      this.stop()
      this.keep(row._row.data.key)
    })
  }

  stop() {
    window.removeEventListener("keydown", this.onKey, true)
  }

  // Escape puts the row back, and means nothing else meanwhile.
  key(event) {
    if (event.key !== "Escape") return
    event.preventDefault()
    event.stopPropagation()
    this.cancel()
  }

  cancel() {
    const {tabulator} = this.table
    const mover = tabulator.modules.moveRow
    mover.toRow = false
    mover.endMove()
    // It was put down where the pointer is; the list says where it belongs.
    tabulator.rowManager.refreshActiveData("filter", false, true)
  }

  // The table's order becomes the list's.
  keep(key) {
    const {table} = this
    const lists = table.page.parts("lists")[0]
    if (lists?.sortedSay()) return table.inOrder()
    const keys = table.tabulator.rowManager.rows.map((row) => row.data.key)
    table.shownKeys = keys.join("\n")
    table.entries = []
    if (lists) lists.change(keys, `${key} moved`)
    else table.page.workspace.changeList(table.page.list.name, keys)
  }
}
