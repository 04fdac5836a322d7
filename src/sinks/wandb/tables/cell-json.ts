/**
 * Cells as JSON, spelled as the SDK spells them: equal tables have equal bytes, so a store knows them again.
 *
 *   run        {"a":[1e-7,NaN,"é"]}         pydantic's `to_json`
 *   artifact   {"a": [1e-07, null, "\u00e9"]}   Python's `json.dump`, keys sorted, each NaN made null before
 *
 * The infinities are bare in both. Floats that are whole numbers are written without their `.0`, as ours have none.
 */
import { asciiJson } from '../escape.ts'
import { type CellType, isSpecial } from './column-types.ts'
import type { Cell } from './rows.ts'

export type Spelling = 'run' | 'artifact'

/** @param type says which texts are numbers; none are without it */
export function cellJson(cell: Cell, spelling: Spelling, type?: CellType): string {
  switch (typeof cell) {
    case 'number':
      return numberJson(cell, spelling)
    case 'string':
      if (type?.isNumber && isSpecial(cell)) return cell === 'NaN' && spelling === 'artifact' ? 'null' : cell
      return textJson(cell, spelling)
    case 'boolean':
      return cell ? 'true' : 'false'
    default:
      break
  }
  if (cell === null) return 'null'
  const [comma, colon] = spelling === 'run' ? [',', ':'] : [', ', ': ']
  if (Array.isArray(cell)) {
    const element = type?.element
    return `[${(cell as readonly Cell[]).map((item) => cellJson(item, spelling, element)).join(comma)}]`
  }
  const dictionary = cell as { readonly [key: string]: Cell }
  const names = Object.keys(dictionary)
  if (spelling === 'artifact') names.sort(byCodePoints)
  const pairs = names.map(
    (name) => textJson(name, spelling) + colon + cellJson(dictionary[name]!, spelling, type?.field(name)),
  )
  return `{${pairs.join(comma)}}`
}

function textJson(text: string, spelling: Spelling): string {
  return spelling === 'run' ? JSON.stringify(text) : asciiJson(text)
}

/** The same shortest digits everywhere; what differs is when there is an exponent, and that Python's has two digits. */
function numberJson(value: number, spelling: Spelling): string {
  const size = Math.abs(value)
  if (value === 0 || (size >= (spelling === 'run' ? 1e-5 : 1e-4) && size < 1e16)) return String(value)
  const text = value.toExponential()
  return spelling === 'run' ? text : text.replace(/e([+-])(\d)$/, 'e$10$2')
}

/** As Python sorts; JavaScript sorts by halves of characters. */
function byCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
