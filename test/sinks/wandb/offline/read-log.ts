/** A strict reader of `.wandb` files, written from the format alone: any fault ends it, but for a tail that is torn. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

export type Message = ReadonlyMap<number, readonly (bigint | Buffer)[]>

export interface ReadRecord {
  readonly number: number
  readonly kind: string
  readonly message: Message
  /** Where it ends in the file. */
  readonly end: number
}

const KINDS: Readonly<Record<number, string>> = {
  ...{ 2: 'history', 3: 'summary', 5: 'config', 6: 'files', 7: 'stats', 8: 'artifact', 10: 'alert' },
  ...{ 12: 'metric', 13: 'output', 17: 'run', 18: 'exit', 26: 'environment' },
}
const BLOCK = 32_768

/** Records of a file; `isTorn` where something is left behind them. */
export function readLog(path: string): { readonly records: readonly ReadRecord[]; readonly isTorn: boolean } {
  const file = readFileSync(path)
  assert.deepEqual([...file.subarray(0, 7)], [0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0], 'the header')
  const records: ReadRecord[] = []
  let parts: Buffer[] = []
  let at = 7
  while (at < file.length) {
    const left = BLOCK - (at % BLOCK)
    if (left < 7) {
      assert.ok(
        file.subarray(at, at + left).every((byte) => byte === 0),
        'zeros at the end of a block',
      )
      at += left
      continue
    }
    if (at + 7 > file.length) return { records, isTorn: true }
    const length = file.readUInt16LE(at + 4)
    const type = file[at + 6]!
    const end = at + 7 + length
    if (end > file.length) return { records, isTorn: true }
    assert.ok(length + 7 <= left, `a chunk within its block, at ${at}`)
    assert.equal(file.readUInt32LE(at), crc32(file.subarray(at + 6, end)), `checksum at ${at}`)
    assert.ok(
      parts.length === 0 ? type === 1 || type === 2 : type === 3 || type === 4,
      `type ${type} at ${at}`,
    )
    parts.push(file.subarray(at + 7, end))
    at = end
    if (type === 2 || type === 3) continue
    records.push(recordOf(Buffer.concat(parts), end))
    parts = []
  }
  return { records, isTorn: parts.length > 0 }
}

function recordOf(bytes: Buffer, end: number): ReadRecord {
  const fields = messageOf(bytes)
  const number = Number(fields.get(1)![0])
  const [field, content] = [...fields].find(([one]) => one !== 1)!
  assert.equal(fields.size, 2)
  return { number, kind: KINDS[field] ?? String(field), message: messageOf(content[0] as Buffer), end }
}

export function messageOf(bytes: Buffer): Message {
  const fields = new Map<number, (bigint | Buffer)[]>()
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!
      assert.notEqual(byte, undefined, 'a number that ends')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, value)
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    let value: bigint | Buffer
    if (tag % 8 === 0) value = varint()
    else {
      assert.equal(tag % 8, 2, 'a wire type that we write')
      const length = Number(varint())
      assert.ok(at + length <= bytes.length, 'a field within its message')
      value = bytes.subarray(at, at + length)
      at += length
    }
    const field = Math.floor(tag / 8)
    fields.set(field, [...(fields.get(field) ?? []), value])
  }
  return fields
}

export function textOf(message: Message, field: number): string | undefined {
  return (message.get(field)?.[0] as Buffer | undefined)?.toString('utf8')
}

export function textsOf(message: Message, field: number): string[] {
  return (message.get(field) ?? []).map((one) => (one as Buffer).toString('utf8'))
}

export function numberOf(message: Message, field: number): number {
  return Number(message.get(field)?.[0] ?? 0n)
}

export function messagesOf(message: Message, field: number): Message[] {
  return (message.get(field) ?? []).map((one) => messageOf(one as Buffer))
}

/** Key and JSON text of each item. */
export function itemsOf(message: Message, field = 1): [string, string][] {
  return messagesOf(message, field).map((item) => [textOf(item, 1)!, textOf(item, 16)!])
}

/** As JSON with bare NaN and infinities. */
export function jsonValue(json: string): unknown {
  if (json === 'NaN') return Number.NaN
  if (json === 'Infinity') return Number.POSITIVE_INFINITY
  if (json === '-Infinity') return Number.NEGATIVE_INFINITY
  return JSON.parse(json)
}

export type Row = Readonly<Record<string, unknown>>

export function rowsOf(records: readonly ReadRecord[]): Row[] {
  return records
    .filter(({ kind }) => kind === 'history')
    .map(({ message }) => {
      const items = itemsOf(message)
      const row = Object.assign(
        Object.create(null),
        Object.fromEntries(items.map(([key, json]) => [key, jsonValue(json)])),
      )
      assert.equal(items.length, Object.keys(row).length, 'each key of a row once')
      assert.equal(numberOf(messagesOf(message, 2)[0]!, 1), row._step, 'the step beside the items')
      return row as Row
    })
}

/** The files of a run below `dir`, in the order of their names. */
export function logsOf(dir: string, id: string): string[] {
  const root = join(dir, 'wandb')
  if (!existsSync(root)) return []
  return readdirSync(root)
    .filter((name) => name.endsWith(`-${id}`))
    .sort()
    .map((name) => join(root, name, `run-${id}.wandb`))
    .filter((path) => existsSync(path))
}
