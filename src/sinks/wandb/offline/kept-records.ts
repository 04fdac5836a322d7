/**
 * The records that make a run's config and tags, for the process that goes on with it, since how params nest hangs on
 * all names together: a line each in `tmp/records.jsonl` of the run's directory, of which the first `bytes` are settled.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunRecord } from '../../../core/types.ts'
import { type Json, jsonText, parseJson } from '../extended-json.ts'
import { FILE_MODE, makeFolder } from './directory.ts'

export type KeptRecord = Extract<RunRecord, { kind: 'params' | 'tags' | 'metric' }>

const FOLDER = 'tmp'
const NAME = 'records.jsonl'
const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW

/**
 * Writes some behind the first `bytes` of those that are there.
 * @returns how many bytes there are then: settled when the cursor says so
 */
export async function keepRecords(
  directory: string,
  bytes: number,
  records: readonly KeptRecord[],
): Promise<number> {
  const lines = Buffer.from(records.map((record) => `${jsonText(record as unknown as Json)}\n`).join(''))
  const handle = await openFile(directory)
  try {
    await handle.truncate(bytes)
    for (let done = 0; done < lines.length; ) {
      done += (await handle.write(lines, done, lines.length - done, bytes + done)).bytesWritten
    }
  } finally {
    await handle.close()
  }
  return bytes + lines.length
}

/** Those among the first `bytes`; fewer where the disk has lost some. */
export async function keptRecords(directory: string, bytes: number): Promise<readonly KeptRecord[]> {
  const handle = await openFile(directory)
  try {
    const text = (await handle.readFile()).subarray(0, bytes).toString('utf8')
    return text.split('\n').flatMap((line) => {
      const record = parseJson(line) as unknown as KeptRecord | undefined
      return record === undefined ? [] : [record]
    })
  } finally {
    await handle.close()
  }
}

async function openFile(directory: string): Promise<FileHandle> {
  return open(join(await makeFolder(directory, [FOLDER]), NAME), FLAGS, FILE_MODE)
}
