/**
 * The netrc file, read as Python's `netrc` module reads it, which the SDK uses: entries of `machine`, `default` and
 * `macdef`, tokens in double quotes, backslashes, comments.
 */

/** Host, or 'default' for all others → password; '' where the entry has none. */
export type NetrcPasswords = ReadonlyMap<string, string>

/** @returns the passwords, or the number of the line that is not understood */
export function readNetrc(text: string): NetrcPasswords | { readonly badLine: number } {
  const passwords = new Map<string, string>()
  const lexer = new Lexer(text)
  let word = lexer.next()
  while (word !== undefined) {
    if (word === 'macdef') {
      lexer.next()
      lexer.skipMacro()
      word = lexer.next()
      continue
    }
    if (word !== 'machine' && word !== 'default') return { badLine: lexer.line }
    const host = word === 'default' ? 'default' : lexer.next()
    if (host === undefined) return { badLine: lexer.line }
    let password = ''
    for (word = lexer.next(); word !== undefined && !STARTS.has(word); word = lexer.next()) {
      const value = lexer.next(true)
      if (!FIELDS.has(word)) return { badLine: lexer.line }
      if (word === 'password') password = value ?? ''
    }
    passwords.set(host, password)
  }
  return passwords
}

const STARTS: ReadonlySet<string> = new Set(['machine', 'default', 'macdef'])
const FIELDS: ReadonlySet<string> = new Set(['login', 'user', 'account', 'password'])

class Lexer {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  get line(): number {
    return this.#text.slice(0, this.#at).split('\n').length
  }

  /** The next token that is no comment; a value may begin with `#`. */
  next(isValue = false): string | undefined {
    for (;;) {
      while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++
      if (this.#at >= this.#text.length) return undefined
      if (isValue || this.#text[this.#at] !== '#') return this.#token()
      const end = this.#text.indexOf('\n', this.#at)
      this.#at = end === -1 ? this.#text.length : end
    }
  }

  /** A macro ends at an empty line. */
  skipMacro(): void {
    const end = /\n\r?\n/g
    end.lastIndex = this.#at
    this.#at = end.exec(this.#text) ? end.lastIndex : this.#text.length
  }

  #token(): string {
    const isQuoted = this.#text[this.#at] === '"'
    if (isQuoted) this.#at++
    let token = ''
    for (; this.#at < this.#text.length; this.#at++) {
      let character = this.#text[this.#at]!
      if (isQuoted ? character === '"' : /\s/.test(character)) break
      if (character === '\\') character = this.#text[++this.#at] ?? ''
      token += character
    }
    if (isQuoted) this.#at++
    return token
  }
}
