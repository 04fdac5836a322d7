/**
 * What the SDK's type registry (0.31.0, `wandb/sdk/data_types/_dtypes.py`) calls the cells of a column, learned value
 * by value. A column is always optional:
 *
 *   {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}
 *
 * Cells of several types, which the SDK refuses unless it is told to take them, are `any`. NaN and the infinities stand
 * in our tables as texts: among numbers they are numbers.
 */
import type { Cell } from './rows.ts'

/** As JSON, keys sorted. */
export type TypeJson = { readonly [key: string]: Cell }

type Kind = 'unknown' | 'special' | 'boolean' | 'number' | 'string' | 'list' | 'dict' | 'any'

/** Of a dictionary; more are data, not a type. */
const MAX_FIELDS = 100

/** NaN and the infinities as our tables spell them. */
export function isSpecial(text: string): boolean {
  return text === 'NaN' || text === 'Infinity' || text === '-Infinity'
}

/** The type of a column's cells, of a list's elements, or of a dictionary's field. */
export class CellType {
  #kind: Kind = 'unknown'
  #hasNull = false
  #hasNaN = false
  #element: CellType | undefined
  #length = 0
  #fields: Map<string, CellType> | undefined

  /** Whether texts that spell a number are one here. */
  get isNumber(): boolean {
    return this.#kind === 'number'
  }
  /** Whether any text in these cells may be a number. */
  get mayHoldNumbers(): boolean {
    return this.#kind === 'number' || this.#kind === 'list' || this.#kind === 'dict'
  }
  get element(): CellType | undefined {
    return this.#kind === 'list' ? this.#element : undefined
  }
  field(name: string): CellType | undefined {
    return this.#kind === 'dict' ? this.#fields!.get(name) : undefined
  }

  add(cell: Cell): void {
    if (cell === null) this.#hasNull = true
    else if (typeof cell === 'number') this.#become('number')
    else if (typeof cell === 'boolean') this.#become('boolean')
    else if (typeof cell === 'string') this.#addText(cell)
    else if (Array.isArray(cell)) this.#addList(cell)
    else this.#addDictionary(cell as { readonly [key: string]: Cell })
  }

  /** As a column's, which is optional. */
  columnJson(): TypeJson {
    return this.#optional(this.#plainJson())
  }

  #become(kind: Kind): void {
    if (this.#kind === kind) return
    const isFirst = this.#kind === 'unknown' || (this.#kind === 'special' && kind === 'number')
    this.#kind = isFirst || (this.#kind === 'special' && kind === 'string') ? kind : 'any'
  }

  #addText(text: string): void {
    const isOdd = isSpecial(text)
    if (text === 'NaN') this.#hasNaN = true
    if (!isOdd) this.#become('string')
    else if (this.#kind === 'unknown') this.#kind = 'special'
    else if (this.#kind !== 'number' && this.#kind !== 'special') this.#become('string')
  }

  #addList(list: readonly Cell[]): void {
    this.#become('list')
    if (this.#kind !== 'list') return
    this.#element ??= new CellType()
    for (const item of list) this.#element.add(item)
    // the last one's, as the SDK has it
    this.#length = list.length
  }

  #addDictionary(dictionary: { readonly [key: string]: Cell }): void {
    this.#become('dict')
    if (this.#kind !== 'dict') return
    const isFirst = this.#fields === undefined
    this.#fields ??= new Map()
    for (const [name, field] of this.#fields) if (!Object.hasOwn(dictionary, name)) field.add(null)
    for (const [name, cell] of Object.entries(dictionary)) {
      let field = this.#fields.get(name)
      if (field === undefined) {
        field = new CellType()
        // those before had none
        if (!isFirst) field.add(null)
        this.#fields.set(name, field)
      }
      field.add(cell)
    }
    if (this.#fields.size > MAX_FIELDS) this.#kind = 'any'
  }

  #plainJson(): TypeJson {
    switch (this.#kind) {
      case 'list':
        return {
          params: { element_type: this.#element!.#innerJson(), length: this.#length },
          wb_type: 'list',
        }
      case 'dict': {
        const types: Record<string, Cell> = Object.create(null)
        for (const [name, field] of this.#fields!) types[name] = field.#fieldJson()
        return { params: { type_map: types }, wb_type: 'typedDict' }
      }
      case 'special':
        return { wb_type: 'string' }
      default:
        return { wb_type: this.#kind }
    }
  }

  #innerJson(): TypeJson {
    const isOptional = this.#hasNull || (this.#hasNaN && this.#kind === 'number')
    return isOptional ? this.#optional(this.#plainJson()) : this.#plainJson()
  }

  #fieldJson(): TypeJson {
    return this.#kind === 'unknown' && this.#hasNull ? NONE : this.#innerJson()
  }

  #optional(type: TypeJson): TypeJson {
    const both = this.#sortName() < 'None' ? [type, NONE] : [NONE, type]
    return { params: { allowed_types: both }, wb_type: 'union' }
  }

  /** The beginning of what Python calls the type, by which the SDK sorts. */
  #sortName(): string {
    switch (this.#kind) {
      case 'list': {
        const element = this.#element!
        const isOptional = element.#hasNull || (element.#hasNaN && element.#kind === 'number')
        const name = element.#sortName()
        return isOptional && name > 'None' ? 'None or' : `${name}[]`
      }
      case 'dict':
        return '{'
      case 'special':
        return 'String'
      default:
        return this.#kind[0]!.toUpperCase() + this.#kind.slice(1)
    }
  }
}

const NONE: TypeJson = { wb_type: 'none' }
