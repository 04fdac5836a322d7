/** Text in columns: the first flush left, the others flush right, two spaces between. */
export function alignedTable(rows: readonly (readonly string[])[], indent = ''): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, [...cell].length)
  }
  return rows.map((row) => {
    const cells = row.map((cell, column) => {
      const space = ' '.repeat(widths[column]! - [...cell].length)
      return column === 0 ? cell + space : space + cell
    })
    return (indent + cells.join('  ')).trimEnd()
  })
}
