/** The body of a file_stream request, checked. */
/** 10 MiB - 100 KiB: the longest line that the SDK sends. */
export const MAX_LINE_BYTES = 10 * 1024 * 1024 - 100 * 1024
/** Of the lines of one request: the SDK's own cap. */
export const MAX_REQUEST_BYTES = 10 * 1024 * 1024

export interface FileChunk {
  readonly name: string
  readonly offset: number
  /** Unset where the lines were only counted. */
  readonly content?: readonly string[]
  readonly lines: number
  /** Of all lines, in UTF-8; where they were only counted as they stand in the body. */
  readonly bytes: number
  readonly longestBytes: number
}
export interface StreamBody {
  readonly files: readonly FileChunk[]
  readonly uploaded: readonly string[]
  readonly isComplete: boolean
  readonly exitCode: number | undefined
  readonly isPreempting: boolean
  /** A heartbeat. */
  readonly isEmpty: boolean
}

export class InvalidBody extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Files whose lines are counted only. */
const SKIMMED = ['wandb-history.jsonl', 'wandb-events.jsonl']
const KEYS = new Set(['files', 'uploaded', 'complete', 'exitcode', 'preempting', 'dropped'])

export function readBody(text: string): StreamBody {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw new InvalidBody(400, 'the body is no JSON')
  }
  if (!isObject(body)) throw new InvalidBody(400, 'the body is no object')
  const unknown = Object.keys(body).filter((key) => !KEYS.has(key))
  if (unknown.length > 0) throw new InvalidBody(400, `unknown in the body: ${unknown.join(', ')}`)
  const files = body.files ?? {}
  if (!isObject(files)) throw new InvalidBody(400, 'files is no object')
  const chunks = Object.entries(files).map(([name, chunk]) => readChunk(name, chunk))
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.bytes, 0)
  if (bytes > MAX_REQUEST_BYTES) throw new InvalidBody(413, `a request with ${bytes} bytes of lines`)
  const uploaded = body.uploaded ?? []
  if (!isStrings(uploaded)) throw new InvalidBody(400, 'uploaded is no list of paths')
  return {
    files: chunks,
    uploaded,
    isComplete: body.complete === true,
    exitCode: typeof body.exitcode === 'number' ? body.exitcode : undefined,
    isPreempting: body.preempting === true,
    isEmpty: Object.keys(body).length === 0,
  }
}

function readChunk(name: string, chunk: unknown): FileChunk {
  if (!isObject(chunk) || typeof chunk.offset !== 'number' || !isStrings(chunk.content)) {
    throw new InvalidBody(400, `${name} has not the form of {offset, content}`)
  }
  const { offset, content } = chunk
  let [bytes, longestBytes] = [0, 0]
  for (const line of content) {
    const length = Buffer.byteLength(line)
    bytes += length
    longestBytes = Math.max(longestBytes, length)
    // a JSON line with a line feed would be two
    if (line.includes('\n') && name.endsWith('.jsonl')) throw new InvalidBody(400, `${name}: a line feed`)
  }
  return { name, offset, content, lines: content.length, bytes, longestBytes }
}

/**
 * As `readBody`, without reading the lines of the history and the events: they are counted where they stand. What
 * has not the form that `JSON.stringify` gives is read as usual.
 */
export function skimBody(bytes: Buffer): StreamBody {
  const heads = SKIMMED.map((name) => {
    const head = `"${name}":{"offset":`
    return { name, head, at: bytes.indexOf(head, 0, 'latin1') }
  })
  const chunks: FileChunk[] = []
  let rest = ''
  let from = 0
  for (const { name, head, at } of heads.sort((a, b) => a.at - b.at)) {
    if (at === -1) continue
    const after = at + head.length
    const found = /^(\d+),"content":\["/.exec(bytes.toString('latin1', after, after + 40))
    if (found === null) return readBody(bytes.toString())
    const start = after + found[0].length - 1
    const { lines, end } = countStrings(bytes, start)
    chunks.push({
      name,
      offset: Number(found[1]),
      lines,
      bytes: end - start - 3 * lines + 1,
      longestBytes: 0,
    })
    rest += bytes.toString('utf8', from, start)
    from = end
  }
  const { files, ...body } = readBody(rest + bytes.toString('utf8', from))
  const skimmed = new Set(chunks.map(({ name }) => name))
  return { ...body, files: [...chunks, ...files.filter(({ name }) => !skimmed.has(name))] }
}

/** @param start where the first string's quote stands; @returns `end`: where the bracket behind the last stands */
function countStrings(bytes: Buffer, start: number): { readonly lines: number; readonly end: number } {
  const end = unescaped(bytes, '"]', start + 1)
  if (end === -1) throw new InvalidBody(400, 'the body is no JSON')
  let lines = 1
  // between two strings, and nowhere else: inside of one the second quote would have its backslash before it
  for (let at = start; (at = unescaped(bytes, '","', at + 1)) !== -1 && at < end; at += 2) lines++
  return { lines, end: end + 1 }
}

function unescaped(bytes: Buffer, text: string, from: number): number {
  let at = bytes.indexOf(text, from, 'latin1')
  while (at !== -1 && isEscaped(bytes, at)) at = bytes.indexOf(text, at + 1, 'latin1')
  return at
}

function isEscaped(bytes: Buffer, at: number): boolean {
  let backslashes = 0
  while (bytes[at - 1 - backslashes] === 0x5c) backslashes++
  return backslashes % 2 === 1
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
