/**
 * As much of GraphQL as the clients of W&B speak: operations, variables with defaults, aliases, fragments, lists and
 * objects as arguments, `@include` and `@skip`. There is no schema: an object answers the fields that it has, and
 * everything else is an error, so that a client learns of a field that does not exist.
 */
type Value =
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'literal'; readonly value: unknown }
  | { readonly kind: 'list'; readonly items: readonly Value[] }
  | { readonly kind: 'object'; readonly fields: readonly (readonly [string, Value])[] }
type Arguments = readonly (readonly [string, Value])[]
interface Directive {
  readonly name: string
  readonly args: Arguments
}
type Selection =
  | {
      readonly kind: 'field'
      readonly alias: string
      readonly name: string
      readonly args: Arguments
      readonly directives: readonly Directive[]
      readonly selections: readonly Selection[] | undefined
    }
  | { readonly kind: 'spread'; readonly name: string; readonly directives: readonly Directive[] }
  | {
      readonly kind: 'inline'
      readonly directives: readonly Directive[]
      readonly selections: readonly Selection[]
    }

export interface Operation {
  readonly type: 'query' | 'mutation'
  readonly name: string
  readonly defaults: ReadonlyMap<string, Value>
  readonly selections: readonly Selection[]
  readonly fragments: ReadonlyMap<string, readonly Selection[]>
}
/** A field's value, or a function of its arguments. */
export type Answering = Readonly<Record<string, unknown>>

/** The query is at fault: the server would not carry it out. */
export class InvalidQuery extends Error {}
/** Carried out, and refused. */
export class RefusedField extends Error {}

/** A request's body; one that cannot be read has an error instead of an operation. */
export interface GraphqlRequest {
  readonly name: string
  readonly operation: Operation | undefined
  readonly error: string
  readonly variables: Readonly<Record<string, unknown>>
}

export function readGraphql(text: string): GraphqlRequest {
  try {
    const { query, variables } = JSON.parse(text) as { query: string; variables?: Record<string, unknown> }
    const operation = parseQuery(query)
    return { name: operation.name, operation, error: '', variables: variables ?? {} }
  } catch (error) {
    return { name: '', operation: undefined, error: String(error), variables: {} }
  }
}

/** Of the first operation in the document. */
export function parseQuery(text: string): Operation {
  return new Parser(text).document()
}

export function execute(
  operation: Operation,
  root: Answering,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const variables: Record<string, unknown> = {}
  for (const [name, value] of operation.defaults) variables[name] = evaluate(value, {})
  Object.assign(variables, given)
  return select(operation, operation.selections, root, variables, {})
}

function select(
  operation: Operation,
  selections: readonly Selection[],
  from: Answering,
  variables: Readonly<Record<string, unknown>>,
  into: Record<string, unknown>,
): Record<string, unknown> {
  for (const selection of selections) {
    if (!isIncluded(selection.directives, variables)) continue
    if (selection.kind === 'inline') {
      select(operation, selection.selections, from, variables, into)
    } else if (selection.kind === 'spread') {
      const fragment = operation.fragments.get(selection.name)
      if (fragment === undefined) throw new InvalidQuery(`Unknown fragment "${selection.name}".`)
      select(operation, fragment, from, variables, into)
    } else {
      if (!(selection.name in from)) {
        throw new InvalidQuery(`Cannot query field "${selection.name}" on type "${from.__typename}".`)
      }
      const field = from[selection.name]
      const value = typeof field === 'function' ? field(argumentsOf(selection.args, variables)) : field
      into[selection.alias] = project(operation, selection.selections, value, variables)
    }
  }
  return into
}

function project(
  operation: Operation,
  selections: readonly Selection[] | undefined,
  value: unknown,
  variables: Readonly<Record<string, unknown>>,
): unknown {
  if (value === undefined || value === null) return null
  if (selections === undefined) return value
  if (Array.isArray(value)) return value.map((item) => project(operation, selections, item, variables))
  return select(operation, selections, value as Answering, variables, {})
}

function isIncluded(directives: readonly Directive[], variables: Readonly<Record<string, unknown>>): boolean {
  return directives.every(({ name, args }) => {
    const condition = argumentsOf(args, variables).if === true
    return name === 'include' ? condition : name === 'skip' ? !condition : true
  })
}

function argumentsOf(args: Arguments, variables: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(args.map(([name, value]) => [name, evaluate(value, variables)]))
}

/** A variable that is not given is as null: W&B's server makes no difference. */
function evaluate(value: Value, variables: Readonly<Record<string, unknown>>): unknown {
  switch (value.kind) {
    case 'variable':
      return variables[value.name] ?? null
    case 'literal':
      return value.value
    case 'list':
      return value.items.map((item) => evaluate(item, variables))
    default:
      return argumentsOf(value.fields, variables)
  }
}

const TOKEN =
  /[\s,]+|#[^\n]*|(\.\.\.|[!$():=@[\]{}|&])|([A-Za-z_]\w*)|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|("[^"\\\n]*(?:\\.[^"\\\n]*)*")/y

class Parser {
  readonly #tokens: string[] = []
  #at = 0

  constructor(text: string) {
    TOKEN.lastIndex = 0
    while (TOKEN.lastIndex < text.length) {
      const at = TOKEN.lastIndex
      const match = TOKEN.exec(text)
      if (match === null) throw new InvalidQuery(`Syntax Error: unexpected ${text.slice(at, at + 10)}`)
      const token = match[1] ?? match[2] ?? match[3] ?? match[4]
      if (token !== undefined) this.#tokens.push(token)
    }
  }

  document(): Operation {
    let found: Omit<Operation, 'fragments'> | undefined
    const fragments = new Map<string, readonly Selection[]>()
    while (this.#at < this.#tokens.length) {
      const word = this.#next()
      if (word === 'fragment') {
        const name = this.#next()
        this.#skip(2)
        fragments.set(name, this.#selections())
      } else if (word === 'query' || word === 'mutation') {
        const name = /^\w/.test(this.#peek()) ? this.#next() : ''
        found ??= { type: word, name, defaults: this.#variables(), selections: this.#selections() }
      } else if (word === '{') {
        this.#at--
        found ??= { type: 'query', name: '', defaults: new Map(), selections: this.#selections() }
      } else throw new InvalidQuery(`Syntax Error: unexpected ${word}`)
    }
    if (found === undefined) throw new InvalidQuery('Must provide an operation.')
    return { ...found, fragments }
  }

  #variables(): Map<string, Value> {
    const defaults = new Map<string, Value>()
    if (!this.#take('(')) return defaults
    while (!this.#take(')')) {
      this.#expect('$')
      const name = this.#next()
      this.#expect(':')
      while (/^[[\]!]$|^\w/.test(this.#peek())) this.#at++
      if (this.#take('=')) defaults.set(name, this.#value())
    }
    return defaults
  }

  #selections(): Selection[] {
    this.#expect('{')
    const selections: Selection[] = []
    while (!this.#take('}')) {
      if (this.#take('...')) {
        const isInline = this.#peek() === 'on' || this.#peek() === '{' || this.#peek() === '@'
        if (isInline) {
          if (this.#take('on')) this.#skip(1)
          const directives = this.#directives()
          selections.push({ kind: 'inline', directives, selections: this.#selections() })
        } else selections.push({ kind: 'spread', name: this.#next(), directives: this.#directives() })
        continue
      }
      const alias = this.#next()
      const name = this.#take(':') ? this.#next() : alias
      const args = this.#arguments()
      const directives = this.#directives()
      const inner = this.#peek() === '{' ? this.#selections() : undefined
      selections.push({ kind: 'field', alias, name, args, directives, selections: inner })
    }
    return selections
  }

  #directives(): Directive[] {
    const directives: Directive[] = []
    while (this.#take('@')) directives.push({ name: this.#next(), args: this.#arguments() })
    return directives
  }

  #arguments(): Arguments {
    const args: (readonly [string, Value])[] = []
    if (this.#take('(')) while (!this.#take(')')) args.push(this.#pair())
    return args
  }

  #pair(): readonly [string, Value] {
    const name = this.#next()
    this.#expect(':')
    return [name, this.#value()]
  }

  #value(): Value {
    const token = this.#next()
    if (token === '$') return { kind: 'variable', name: this.#next() }
    if (token === '[') {
      const items: Value[] = []
      while (!this.#take(']')) items.push(this.#value())
      return { kind: 'list', items }
    }
    if (token === '{') {
      const fields: (readonly [string, Value])[] = []
      while (!this.#take('}')) fields.push(this.#pair())
      return { kind: 'object', fields }
    }
    // what is no number, string, truth value or null is a name of an enumeration
    const isJson = /^["\d-]|^(true|false|null)$/.test(token)
    return { kind: 'literal', value: isJson ? JSON.parse(token) : token }
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? ''
  }

  #next(): string {
    const token = this.#tokens[this.#at++]
    if (token === undefined) throw new InvalidQuery('Syntax Error: unexpected end of the document')
    return token
  }

  #skip(count: number): void {
    this.#at += count
  }

  #take(token: string): boolean {
    if (this.#peek() !== token) return false
    this.#at++
    return true
  }

  #expect(token: string): void {
    const found = this.#next()
    if (found !== token) throw new InvalidQuery(`Syntax Error: expected ${token}, found ${found}`)
  }
}
