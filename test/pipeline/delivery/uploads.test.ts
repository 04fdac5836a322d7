import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { blobPath } from '../../../src/core/blob-path.ts'
import { DESTINATION, DESTINATION_STATES, RUN, runCounters } from '../../../src/core/counters.ts'
import { FILE_LIST_TYPE } from '../../../src/core/media-types.ts'
import type { BlobRef, RunRecord, StoredFile, WriteResult } from '../../../src/core/types.ts'
import { destinationStats } from '../../../src/pipeline/destination-stats.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage, type StageOptions } from './stage.ts'

const LR: RunRecord = { kind: 'params', params: { lr: 0.1 } }
const FINISHED: RunRecord = { kind: 'state', state: 'finished', time: 1_700_000_000_000 }

describe('uploads', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tracelet-uploads-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  function blob(content: string, type = 'text/plain'): BlobRef {
    const bytes = Buffer.from(content)
    const digest = createHash('sha256').update(bytes).digest('hex')
    const path = blobPath(folder, digest)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
    return { digest, bytes: bytes.length, type }
  }
  const files = (count: number, prefix = 'f'): StoredFile[] =>
    Array.from({ length: count }, (_, index) => ({
      path: `${prefix}${index}`,
      blob: blob(`${prefix} ${index}`),
    }))
  function artifact(list: readonly StoredFile[] | BlobRef, name = 'a'): RunRecord {
    return { kind: 'artifact', name, type: 'dataset', time: 1, files: list, bytes: 0 }
  }
  const text = (name: string): RunRecord => ({ kind: 'text', name, step: 0, time: 1, text: 'hello' })
  function stageOf(journal: MemoryJournal, options: StageOptions = {}): Stage {
    return new Stage(journal, {
      folder,
      ...options,
      capabilities: { uploads: ['artifact', 'images', 'text'], ...options.capabilities },
    })
  }
  const pathsOf = (stage: Stage) => stage.uploader.uploads.map(({ seq, path }) => `${seq}:${path ?? 'last'}`)
  const countersOf = (stage: Stage) => {
    const { filesKnown, filesSent, bytesKnown, bytesSent } = DESTINATION
    return [filesKnown, filesSent, bytesKnown, bytesSent].map((word) => stage.uploadsBlock[word])
  }

  /** Each number of the journal is settled by exactly one of the two. */
  function assertConserved(stage: Stage, points: number, records: number): void {
    const stats = destinationStats(stage.counters, 0, undefined)
    assert.equal(stats.delivered + stats.filtered + stats.rejected + stats.corrupt, points)
    const of = stats.records
    assert.equal(of.delivered + of.filtered + of.rejected + of.corrupt, records)
    assert.ok(stage.issues.every(({ code }) => code !== 'ERR_LAW'))
  }

  test('every record is counted by one of the two, its files go in order and the last step follows', async () => {
    const journal = new MemoryJournal()
      .record(LR)
      .scalars('loss', 250, 40)
      .record(artifact(files(3)))
      .scalars('loss', 50, 40)
      .record(text('note'))
      .record(FINISHED)
    const stage = stageOf(journal)
    await stage.finish()
    assert.equal(stage.closed?.complete, true)
    assert.deepEqual(pathsOf(stage), ['251:f0', '251:f1', '251:f2', '251:last', '302:last'])
    assert.deepEqual(stage.sink.records, [LR, FINISHED])
    assert.equal(stage.sink.points.length, 300)
    assert.deepEqual(stage.uploader.records, [])
    assertConserved(stage, 300, 4)
    assert.equal(stage.cursor.settled.elsewhere, 2)
    assert.deepEqual(
      { ...stage.uploadsCursor.settled },
      { ...zeros(stage), recordsDelivered: 2, elsewhere: 302 },
    )
    assert.equal(stage.uploadsCursor.seq, 304)
    assert.equal(stage.uploadsCursor.points, 300)
    assert.equal(stage.uploadsCursor.state, undefined)
    assert.deepEqual(countersOf(stage), [3, 3, 9, 9])
    assert.equal(stage.guardsHeld, 0)
  })

  const zeros = (stage: Stage) =>
    Object.fromEntries(Object.keys(stage.cursor.settled).map((name) => [name, 0]))

  test('a run without uploads is neither read, guarded nor opened for them', async () => {
    const journal = new MemoryJournal().record(LR).scalars('loss', 500, 40)
    const stage = stageOf(journal, { live: true })
    await stage.play(() => stage.sink.points.length === 500)
    journal.record(LR).scalars('loss', 100, 40)
    stage.publish()
    await stage.play(() => stage.sink.points.length === 600 && stage.cursor.seq === 602)
    assert.equal(stage.guardsHeld, 1)
    journal.record(FINISHED)
    await stage.finish()
    assert.equal(stage.closed?.complete, true)
    assert.equal(stage.recordReaders, 0)
    assert.equal(stage.uploader.opens, 0)
    assert.equal(stage.savedUploads.length, 0)
    assertConserved(stage, 600, 3)
  })

  test('scalars and the end of the run arrive while an upload hangs, and the deadline bounds it', async () => {
    const journal = new MemoryJournal().record(artifact(files(2))).scalars('loss', 200, 50)
    const stage = stageOf(journal, { live: true })
    stage.uploader.uploadRule = (_, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve({ status: 'retry', reason: 'cut' }))
      })
    await stage.play(() => stage.sink.points.length === 200 && stage.uploader.mostUnderWay === 1)
    journal.scalars('loss', 100, 50).record(FINISHED)
    stage.publish()
    stage.end(60_000)
    await stage.play(() => stage.sink.records.length === 1 && stage.sink.closes === 1)
    assert.ok(
      stage.told.every(({ type }) => type !== 'closed'),
      'the destination is not closed before both are',
    )
    const rows = stage.cursor
    assert.equal(rows.seq, 302)
    assert.equal(stage.delivery.isClosed, true)
    await stage.play()
    assert.equal(stage.closed?.complete, false)
    assert.match(stage.closed!.reason, /deadline/)
    assert.equal(stage.told.filter(({ type }) => type === 'closed').length, 1)
    assert.equal(stage.guardsHeld, 0)
  })

  test('a full target is tried again for as long as it takes, without holding rows', async () => {
    const journal = new MemoryJournal()
      .record(artifact(files(2)))
      .scalars('loss', 200, 50)
      .record(FINISHED)
    const stage = stageOf(journal)
    let refusals = 0
    stage.uploader.uploadRule = () =>
      refusals++ < 40 ? { status: 'retry', reason: 'HTTP 507: the target is full' } : undefined
    stage.end(3_600_000)
    await stage.play(() => stage.delivery.isClosed)
    assert.ok(refusals < 5, `${refusals}`)
    assert.equal(stage.sink.points.length, 200)
    assert.deepEqual(stage.sink.records, [FINISHED])
    await stage.play()
    assert.equal(stage.closed?.complete, true)
    assert.equal(refusals, 43)
    assert.equal(stage.letters.length, 0)
    assert.ok(stage.issues.some(({ severity, message }) => severity === 'failing' && /full/.test(message)))
    assert.ok(stage.issues.some(({ severity }) => severity === 'recovered'))
  })

  test('rows that recover do not say so for uploads that are still in trouble', async () => {
    const journal = new MemoryJournal().record(artifact(files(1))).scalars('loss', 10)
    const stage = stageOf(journal, { live: true })
    let isFull = true
    const full: WriteResult = { status: 'retry', code: 'ERR_SERVER', reason: 'full' }
    stage.uploader.uploadRule = () => (isFull ? full : undefined)
    const severities = () => stage.issues.map(({ severity, message }) => `${severity} ${message}`)
    await stage.play(() => severities().includes('failing full'))
    const down: WriteResult = { status: 'retry', reason: 'down' }
    stage.sink.script = [() => down, () => down]
    journal.scalars('loss', 10, 100, 10)
    stage.publish()
    await stage.play(() => stage.sink.points.length === 20)
    assert.deepEqual(severities(), ['failing full', 'failing down'])
    isFull = false
    await stage.finish()
    assert.deepEqual(severities().slice(2), ['recovered delivering again'])
  })

  test('what rows and uploads both suffer is told once when it starts, once a minute, and once when it is over', async () => {
    const journal = new MemoryJournal().record(artifact(files(1))).scalars('loss', 10)
    const stage = stageOf(journal, { live: true })
    let isDown = false
    const down: WriteResult = { status: 'retry', reason: 'down' }
    stage.sink.rule = () => (isDown ? down : undefined)
    stage.uploader.uploadRule = () => (isDown ? down : undefined)
    await stage.play(() => stage.sink.points.length === 10 && stage.uploader.uploads.length === 2)
    isDown = true
    const from = stage.now
    journal.record(artifact(files(1))).scalars('loss', 10, 10, 10)
    stage.publish()
    await stage.play(() => stage.now > from + 150_000)
    const told = () => stage.issues.map(({ severity }) => severity)
    assert.ok(told().every((severity) => severity === 'failing'))
    assert.ok(told().length >= 2 && told().length <= 3, told().join())
    const { length } = told()
    isDown = false
    await stage.finish()
    assert.deepEqual(told().slice(length), ['recovered'])
    assert.ok(stage.closed?.complete)
  })

  test('a record that the backend fails at for ever holds up no later one, and is there when it is taken at last', async () => {
    const journal = new MemoryJournal()
      .scalars('loss', 20, 20)
      .record(artifact(files(2), 'poison'))
      .scalars('loss', 30, 30)
      .record(artifact(files(1, 'g'), 'good'))
      .record(artifact(files(1, 'h'), 'poison/again'))
      .scalars('loss', 10, 10)
      .record(text('note'))
    const stage = stageOf(journal, { live: true })
    let isPoison = true
    stage.uploader.uploadRule = ({ file, record }) =>
      isPoison && 'name' in record && record.name === 'poison' && file?.path === 'f1'
        ? { status: 'retry', code: 'ERR_SERVER', reason: 'HTTP 500' }
        : undefined
    const began = stage.now
    await stage.play(() => pathsOf(stage).includes('63:last'))
    const waited = stage.now - began
    assert.ok(waited > 300_000 && waited < 900_000, `${waited} ms`)
    // what goes to the same place waits for it
    assert.deepEqual(pathsOf(stage), ['20:f0', '51:g0', '51:last', '63:last'])
    await stage.play(() => stage.savedUploads.length > 0 && stage.uploadsCursor.seq === 20)
    assert.deepEqual([stage.uploadsCursor.files, stage.uploadsCursor.points], [1, 20])
    assert.ok(
      stage.issues.some(
        ({ severity, message }) => severity === 'notice' && /'poison'.*HTTP 500/.test(message),
      ),
    )
    const { recordsDelivered, elsewhere } = stage.uploadsCursor.settled
    assert.deepEqual(
      [recordsDelivered, elsewhere],
      [0, 20],
      'what comes later counts when all before it is settled',
    )
    await stage.play(() => stage.now > began + 3 * 3_600_000)
    assert.equal(stage.uploads!.isClosed, false)

    const second = stageOf(journal, { cursor: stage.cursor, uploadsCursor: stage.uploadsCursor })
    await second.finish()
    assert.deepEqual(pathsOf(second)[0], '20:f1', 'a process that comes after it goes on before it')
    assertConserved(second, 60, 4)

    isPoison = false
    await stage.finish()
    assert.deepEqual(pathsOf(stage).slice(4), ['20:f1', '20:last', '52:h0', '52:last'])
    assert.equal(stage.closed?.complete, true)
    assert.deepEqual(countersOf(stage), [4, 4, 12, 12])
    assertConserved(stage, 60, 4)
    assert.equal(stage.uploadsCursor.seq, 64)
    assert.equal(stage.letters.length, 0)
  })

  test('a file that breaks every connection holds up no later one, and at the end of the run none waits for another', async () => {
    const journal = new MemoryJournal()
      .record(artifact(files(1), 'poison'))
      .record(artifact(files(1, 'g'), 'good'))
    const breaks = (stage: Stage) => {
      stage.uploader.uploadRule = ({ record }) =>
        'name' in record && record.name === 'poison'
          ? { status: 'retry', code: 'ERR_UNREACHABLE', reason: 'ECONNRESET' }
          : undefined
    }
    const lasting = stageOf(journal, { live: true })
    breaks(lasting)
    await lasting.play(() => pathsOf(lasting).includes('1:last'))
    assert.ok(lasting.now > 300_000)
    assert.ok(!lasting.issues.some(({ severity }) => severity === 'notice'), 'the outage itself is told')

    const ending = stageOf(journal)
    breaks(ending)
    await ending.finish(60_000)
    assert.deepEqual(pathsOf(ending), ['1:g0', '1:last'])
    assert.equal(ending.closed?.complete, false)
    const next = stageOf(journal, { cursor: ending.cursor, uploadsCursor: ending.uploadsCursor })
    await next.finish()
    assertConserved(next, 0, 2)
  })

  test('a backend that is down has its records tried in their order, however long it lasts', async () => {
    const journal = new MemoryJournal().record(artifact(files(1), 'a')).record(artifact(files(1, 'g'), 'b'))
    const stage = stageOf(journal, { live: true })
    let isDown = true
    stage.uploader.uploadRule = () =>
      isDown ? { status: 'retry', code: 'ERR_UNREACHABLE', reason: 'ECONNREFUSED', unsent: true } : undefined
    await stage.play(() => stage.now > 3 * 3_600_000)
    isDown = false
    await stage.finish()
    assert.deepEqual(pathsOf(stage), ['0:f0', '0:last', '1:g0', '1:last'])
  })

  test('to be opened anew in its turn is no recovery: what was refused has not been taken yet', async () => {
    const journal = new MemoryJournal().record(artifact(files(1)))
    const stage = stageOf(journal, { live: true })
    let isFull = true
    stage.uploader.uploadRule = () => (isFull ? { status: 'retry', reason: 'full' } : undefined)
    const severities = () => stage.issues.map(({ severity }) => severity)
    await stage.play(() => severities().includes('failing'))
    stage.uploads!.park()
    await stage.play(() => stage.uploader.opens === 2 && stage.uploader.mostUnderWay === 1)
    await stage.play(() => stage.uploadsBlock[DESTINATION.state] === DESTINATION_STATES.indexOf('retrying'))
    assert.deepEqual(severities(), ['failing'])
    isFull = false
    await stage.finish()
    assert.equal(stage.closed?.complete, true)
    assert.deepEqual(severities(), ['failing', 'recovered'])
  })

  test('it opens once rows have opened the run, with the state they have committed', async () => {
    const journal = new MemoryJournal().record(artifact(files(1))).record(FINISHED)
    const stage = stageOf(journal)
    stage.sink.onOpen = () => ({ status: 'ready', state: { remote: 'r7' }, url: 'http://there/r7' })
    await stage.finish()
    assert.deepEqual(stage.sink.states, [undefined])
    assert.deepEqual(stage.uploader.states, [{ remote: 'r7' }])
    assert.equal(stage.cursor.url, 'http://there/r7')
    assert.equal(stage.told.filter(({ type }) => type === 'url').length, 1)
  })

  test('it does not open before what rows have found is safe on disk', async () => {
    const journal = new MemoryJournal().record(artifact(files(1))).scalars('loss', 10)
    const stage = stageOf(journal, { live: true })
    stage.sink.onOpen = () => ({ status: 'ready', state: { remote: 'r7' } })
    stage.diskError = new Error('ENOSPC')
    await stage.play(() => stage.now > 20_000 && stage.sink.points.length === 10)
    assert.equal(stage.uploader.opens, 0)
    stage.diskError = undefined
    await stage.finish()
    assert.equal(stage.closed?.complete, true)
    assert.deepEqual(stage.uploader.states, [{ remote: 'r7' }])
  })

  test('while rows cannot open the run, uploads do not either; rows that never do end both', async () => {
    const journal = new MemoryJournal().record(artifact(files(1))).record(FINISHED)
    const stage = stageOf(journal)
    stage.sink.onOpen = () => ({ status: 'blocked', scope: 'run', code: 'ERR_AUTH', reason: 'revoked' })
    await stage.finish()
    assert.equal(stage.closed?.complete, false)
    assert.match(stage.closed!.reason, /revoked/)
    assert.equal(stage.uploader.opens, 0)
  })

  test('rows that are settled at rest are not opened again; the state is taken from their cursor', async () => {
    const journal = new MemoryJournal()
      .record(artifact(files(2)))
      .scalars('loss', 10)
      .record(FINISHED)
    const first = stageOf(journal)
    first.sink.onOpen = () => ({ status: 'ready', state: { remote: 'r7' }, url: 'http://there' })
    first.uploader.uploadRule = () => ({ status: 'retry', reason: 'down' })
    await first.finish(5_000)
    assert.equal(first.closed?.complete, false)
    const second = stageOf(journal, {
      cursor: first.cursor,
      ...(first.uploadsCursor && { uploadsCursor: first.uploadsCursor }),
    })
    await second.finish()
    assert.equal(second.closed?.complete, true)
    assert.equal(second.sink.opens, 0)
    assert.deepEqual(second.uploader.states, [{ remote: 'r7' }])
    assert.deepEqual(pathsOf(second), ['0:f0', '0:f1', '0:last'])
    assert.ok(second.told.some((message) => message.type === 'url' && message.url === 'http://there'))
    assertConserved(second, 10, 2)
    const third = stageOf(journal, {
      cursor: second.cursor ?? first.cursor,
      uploadsCursor: second.uploadsCursor,
    })
    await third.finish()
    assert.equal(third.closed?.complete, true)
    assert.equal(third.uploader.opens, 0)
  })

  test('after a kill it goes on at the file it had reached, with the state of its record', async () => {
    const journal = new MemoryJournal()
      .scalars('loss', 10)
      .record(artifact(files(50)))
      .record(FINISHED)
    const first = stageOf(journal)
    first.uploader.uploadRule = ({ file, state }) => {
      assert.equal(state?.at, file!.index === 0 ? undefined : file!.index - 1)
      return { status: 'accepted', state: { at: file!.index } }
    }
    first.end(3_600_000)
    // the clock stands still while answers come: one cursor is saved at once, and one at the end
    await first.play(() => {
      first.now += 30
      return first.uploadsCursor?.files !== undefined && first.uploadsCursor.files > 20
    })
    const { files: reached = 0, state } = first.uploadsCursor
    assert.equal(first.uploadsCursor.seq, 10)
    assert.deepEqual(state, { at: reached - 1 })
    await first.abandon()
    const second = stageOf(journal, { cursor: first.cursor, uploadsCursor: first.uploadsCursor })
    const states: unknown[] = []
    second.uploader.uploadRule = (upload) => void states.push(upload.state)
    await second.finish()
    assert.equal(second.closed?.complete, true)
    assert.deepEqual(pathsOf(second).slice(0, 2), [`10:f${reached}`, `10:f${reached + 1}`])
    assert.equal(second.uploader.uploads.length, 50 - reached + 1)
    assert.deepEqual(states[0], state)
    assert.deepEqual(countersOf(second).slice(0, 2), [50, 50])
    assert.equal(second.uploadsBlock[DESTINATION.bytesKnown], second.uploadsBlock[DESTINATION.bytesSent])
    assert.equal(second.uploadsCursor.state, undefined)
  })

  test('what a step keeps is in the cursor before it is answered, and comes with the next try', async () => {
    const journal = new MemoryJournal().record(artifact(files(1)))
    const first = stageOf(journal)
    let tries = 0
    let kill = () => {}
    first.uploader.uploadRule = async (upload): Promise<WriteResult | undefined> => {
      tries++
      if (tries === 1) {
        upload.keep({ parts: [1, 2] })
        return { status: 'retry', reason: 'cut', state: { parts: [1, 2, 3] } }
      }
      assert.deepEqual(upload.state, { parts: [1, 2, 3] })
      upload.keep({ parts: [1, 2, 3, 4] })
      await new Promise<void>((resolve) => {
        kill = resolve
      })
      return undefined
    }
    first.end(3_600_000)
    await first.play(() => {
      first.now += 20
      return (first.uploadsCursor?.state?.parts as unknown[] | undefined)?.length === 4
    })
    const abandoned = first.abandon()
    kill()
    await abandoned
    const second = stageOf(journal, { cursor: first.cursor, uploadsCursor: first.uploadsCursor })
    second.uploader.uploadRule = ({ file, state }) => {
      if (file !== undefined) assert.deepEqual(state, { parts: [1, 2, 3, 4] })
      return undefined
    }
    await second.finish()
    assert.equal(second.closed?.complete, true)
    assert.deepEqual(pathsOf(second), ['0:f0', '0:last'])
  })

  test('a record does not get the state of the one before it', async () => {
    const journal = new MemoryJournal().record(artifact(files(1))).record(artifact(files(1, 'g')))
    const stage = stageOf(journal)
    const states: unknown[] = []
    stage.uploader.uploadRule = ({ seq, state }) => {
      states.push(state)
      return { status: 'accepted', state: { of: seq } }
    }
    await stage.finish()
    assert.deepEqual(states, [undefined, { of: 0 }, undefined, { of: 1 }])
  })

  test('rejected files cost their record: one letter names them, the others are sent, the last step is not', async () => {
    const list = files(5)
    rmSync(blobPath(folder, (list[3] as { blob: BlobRef }).blob.digest))
    const journal = new MemoryJournal().record(artifact(list)).record(text('after'))
    const stage = stageOf(journal)
    stage.uploader.uploadRule = ({ file }) =>
      file?.path === 'f1' ? { status: 'split', code: 'ERR_REFUSED', reason: 'HTTP 413' } : undefined
    await stage.finish()
    assert.deepEqual(pathsOf(stage), ['0:f0', '0:f2', '0:f4', '1:last'])
    assert.equal(stage.letters.length, 1)
    const [letter] = stage.letters
    assert.deepEqual(letter!.kind === 'artifact' && letter!.items, ['f1', 'f3'])
    assert.match(letter!.reason, /f1: HTTP 413; f3: blob .* is missing/)
    assertConserved(stage, 0, 2)
    assert.equal(stage.uploadsCursor.settled.recordsRejected, 1)
    assert.deepEqual(countersOf(stage).slice(0, 2), [5, 5])
  })

  test('parts that are rejected by index reject the record, of a file and of the last step alike', async () => {
    const journal = new MemoryJournal()
      .record(artifact(files(2)))
      .record(text('last'))
      .record(text('good'))
    const stage = stageOf(journal)
    stage.uploader.uploadRule = ({ seq, file }) =>
      file?.path === 'f0' || seq === 1
        ? { status: 'partial', rejected: [{ index: 0, code: 'ERR_REFUSED', reason: 'not this one' }] }
        : undefined
    await stage.finish()
    assert.deepEqual(pathsOf(stage), ['0:f1', '2:last'])
    assert.deepEqual(
      stage.letters.map(({ seq, reason }) => [seq, reason]),
      [
        [0, 'f0: not this one'],
        [1, 'not this one'],
      ],
    )
    assertConserved(stage, 0, 3)
  })

  test('that a file was rejected is not forgotten by a kill', async () => {
    const journal = new MemoryJournal().record(artifact(files(30)))
    const rule = ({ file }: { file?: { path: string } }): WriteResult | undefined =>
      file?.path === 'f1' ? { status: 'split', code: 'ERR_REFUSED', reason: 'no' } : undefined
    const first = stageOf(journal)
    first.uploader.uploadRule = rule
    first.end(3_600_000)
    await first.play(() => {
      first.now += 30
      return (first.uploadsCursor?.files ?? 0) > 5
    })
    const second = stageOf(journal, { cursor: first.cursor, uploadsCursor: first.uploadsCursor })
    await second.finish()
    assert.equal(second.uploadsCursor.settled.recordsRejected, 1)
    assert.ok(!pathsOf(second).includes('0:last'))
    assert.match(second.letters[0]!.reason, /f1: no/)
  })

  test('blobs that are missing, cut or no files are not sent', async () => {
    const [cut, link, folderBlob, good] = ['cut', 'link', 'folder', 'good'].map((one) =>
      blob(`content ${one}`),
    )
    truncateSync(blobPath(folder, cut!.digest), 3)
    for (const { digest } of [link!, folderBlob!]) rmSync(blobPath(folder, digest))
    const outside = join(folder, 'outside')
    writeFileSync(outside, 'content link')
    symlinkSync(outside, blobPath(folder, link!.digest))
    mkdirSync(blobPath(folder, folderBlob!.digest))
    const journal = new MemoryJournal()
    for (const image of [cut!, link!, folderBlob!, good!]) {
      journal.record({
        kind: 'images',
        name: 'i',
        step: 0,
        time: 1,
        images: [{ image, width: 1, height: 1 }],
      })
    }
    const stage = stageOf(journal)
    await stage.finish()
    assert.deepEqual(pathsOf(stage), ['3:0', '3:last'])
    assert.deepEqual(
      stage.letters.map(({ seq, code }) => [seq, code]),
      [0, 1, 2].map((seq) => [seq, 'ERR_BLOB']),
    )
  })

  test('references are never sent as files, yet the sink sees them', async () => {
    const list: StoredFile[] = [
      { path: 'a', uri: 's3://bucket/a' },
      ...files(1),
      { path: 'z', uri: 's3://bucket/z', bytes: 7 },
    ]
    const journal = new MemoryJournal()
      .record(artifact(list))
      .record(artifact([{ path: 'only', uri: 'https://x/y' }]))
    const stage = stageOf(journal)
    const seen: number[] = []
    stage.uploader.uploadRule = (upload) => {
      seen.push(upload.files.length)
      if (upload.file) assert.equal(upload.file.index, 1)
      return undefined
    }
    await stage.finish()
    assert.deepEqual(pathsOf(stage), ['0:f0', '0:last', '1:last'])
    assert.deepEqual(seen, [3, 3, 1])
    assert.deepEqual(countersOf(stage), [1, 1, 3, 3])
  })

  test('ten thousand files of a list in a blob go one by one, several at once where the sink allows', async () => {
    const one = blob('the same in all')
    const list = Array.from({ length: 10_000 }, (_, index) => ({
      path: `d/${String(index).padStart(5, '0')}`,
      blob: one,
    }))
    const journal = new MemoryJournal().record(artifact(blob(JSON.stringify(list), FILE_LIST_TYPE)))
    const stage = stageOf(journal, { limits: { uploadsInFlight: 3 } })
    let most = 0
    stage.uploader.uploadRule = ({ file }) => {
      most = Math.max(most, file?.index ?? 0)
      return undefined
    }
    await stage.finish(3_600_000)
    assert.equal(stage.closed?.complete, true)
    assert.equal(stage.uploader.uploads.length, 10_001)
    assert.equal(stage.uploader.mostUnderWay, 3)
    assert.equal(stage.uploader.uploads.at(-1)!.path, undefined)
    assert.equal(new Set(pathsOf(stage)).size, 10_001)
    assert.equal(stage.uploadsBlock[DESTINATION.filesSent], 10_000)
    assert.equal(stage.uploadsBlock[DESTINATION.bytesSent], 10_000 * one.bytes)
  })

  test('a list of files that cannot be believed rejects its record, and nothing of it is sent', async () => {
    const one = blob('x')
    const journal = new MemoryJournal()
    const lists = [
      'no json',
      '{}',
      JSON.stringify([{ path: '../out', blob: one }]),
      JSON.stringify([{ path: '/etc/passwd', blob: one }]),
      JSON.stringify([{ path: 'a', blob: { ...one, digest: '../../../etc/passwd' } }]),
      JSON.stringify([{ path: 'a//b', blob: one }]),
      JSON.stringify([null]),
    ]
    for (const list of lists) journal.record(artifact(blob(list, FILE_LIST_TYPE)))
    journal.record(artifact({ digest: 'f'.repeat(64), bytes: 5, type: FILE_LIST_TYPE }))
    journal.record(artifact(files(1)))
    const stage = stageOf(journal)
    await stage.finish()
    assert.deepEqual(pathsOf(stage), [`${lists.length + 1}:f0`, `${lists.length + 1}:last`])
    assert.deepEqual(
      stage.letters.map(({ code }) => code),
      Array(lists.length + 1).fill('ERR_BLOB'),
    )
    assertConserved(stage, 0, lists.length + 2)
  })

  test('bytes under way are shown as they go, never beyond what is known and never backwards', async () => {
    const journal = new MemoryJournal().record(artifact([{ path: 'a', blob: blob('0123456789') }]))
    const stage = stageOf(journal)
    const seen: number[] = []
    let tries = 0
    stage.uploader.uploadRule = ({ file, sent }) => {
      if (file === undefined) return undefined
      const look = () => seen.push(stage.uploadsBlock[DESTINATION.bytesSent]!)
      look()
      sent(4)
      look()
      sent(-3)
      sent(Number.NaN)
      look()
      if (tries++ === 0) return { status: 'retry', reason: 'cut' }
      sent(3)
      look()
      sent(1e9)
      look()
      return undefined
    }
    await stage.finish()
    assert.deepEqual(seen, [0, 4, 4, 4, 4, 4, 7, 10])
    assert.deepEqual(countersOf(stage), [1, 1, 10, 10])
  })

  for (const isOpen of [true, false]) {
    test(`a record that is counted before it can be read is not missed, ${isOpen ? 'open' : 'parked'}`, async () => {
      const journal = new MemoryJournal().record(artifact(files(1)))
      const stage = stageOf(journal, { live: true })
      await stage.play(() => stage.uploader.uploads.length === 2)
      if (!isOpen) {
        stage.uploads!.park()
        await stage.play(() => stage.uploader.closes === 1)
      }
      const words = runCounters(stage.counters)
      journal.record(artifact(files(1, 'g')))
      words[RUN.recordsJournaled] = journal.records
      for (let turn = 0; turn < 10; turn++) stage.uploads!.turn(stage.now)
      stage.publish()
      await stage.play(() => stage.uploader.uploads.length === 4, stage.now + 500)
      await stage.finish()
      assert.equal(stage.closed?.complete, true)
    })
  }

  test('a lag of the rows holds the uploads up for a second at most', async () => {
    const journal = new MemoryJournal().scalars('loss', 100).record(artifact(files(1)))
    const stage = stageOf(journal, { live: true })
    let isReleased = false
    let first = true
    stage.sink.rule = () => {
      if (first) {
        first = false
        return undefined
      }
      return isReleased ? undefined : { status: 'retry', reason: 'slow', afterMs: 500_000 }
    }
    journal.scalars('loss', 100).record(artifact(files(1, 'g')))
    stage.publish()
    await stage.play(() => stage.uploader.uploads.length === 4, 20_000)
    assert.ok(stage.now < 5_000, `${stage.now}`)
    isReleased = true
    journal.record(FINISHED)
    await stage.finish(3_600_000)
    assert.equal(stage.closed?.complete, true)
    assertConserved(stage, 200, 3)
  })

  test('a damaged stretch is counted once, by the rows', async () => {
    const journal = new MemoryJournal()
      .scalars('loss', 10)
      .record(artifact(files(1)))
      .corrupt(7, 2)
      .record(artifact(files(1, 'g')))
      .record(FINISHED)
    const stage = stageOf(journal)
    await stage.finish()
    assert.equal(stage.closed?.complete, true)
    assertConserved(stage, 17, 5)
    assert.equal(stage.uploadsCursor.points, 17)
  })

  test('what rows settled before the sink had uploads of that kind is neither uploaded nor counted again', async () => {
    const journal = new MemoryJournal()
      .scalars('loss', 10)
      .record(text('old'))
      .record(artifact(files(1)))
      .scalars('loss', 10, 100, 10)
    const first = new Stage(journal, { folder })
    await first.finish()
    assert.equal(first.cursor.settled.recordsFiltered, 2)
    journal.record(text('new')).record(artifact(files(1, 'g')))

    const second = stageOf(journal, { cursor: first.cursor, capabilities: { uploads: ['artifact'] } })
    await second.finish()
    assert.deepEqual(pathsOf(second), ['23:g0', '23:last'])
    assertConserved(second, 20, 4)
    assert.deepEqual(countersOf(second).slice(0, 2), [1, 1])
    journal.record(text('newest')).record(artifact(files(1, 'h')))

    const cursors = { cursor: second.cursor, uploadsCursor: second.uploadsCursor }
    const third = stageOf(journal, cursors)
    await third.finish()
    assert.deepEqual(pathsOf(third), ['24:last', '25:h0', '25:last'])
    assert.equal(third.closed?.complete, true)
    assertConserved(third, 20, 6)
  })

  test('a kill before the first cursor of uploads changes nothing of what is theirs', async () => {
    const journal = new MemoryJournal().record(text('old'))
    const first = new Stage(journal, { folder })
    await first.finish()
    journal.record(text('new')).scalars('loss', 10)
    const second = stageOf(journal, { cursor: first.cursor })
    second.uploader.uploadRule = () => ({ status: 'retry', reason: 'not yet' })
    await second.finish()
    assert.equal(second.cursor.seq, 12)
    const third = stageOf(journal, { cursor: second.cursor })
    await third.finish()
    assert.deepEqual(pathsOf(third), ['1:last'])
    assertConserved(third, 10, 2)
  })

  for (const isAll of [false, true]) {
    test(`${isAll ? 'all' : 'some'} records damaged after rows had passed them are counted as damaged in the end`, async () => {
      const journal = new MemoryJournal()
        .scalars('loss', 10)
        .record(artifact(files(1)))
        .record(text('note'))
        .record(FINISHED)
      const first = stageOf(journal)
      first.uploader.uploadRule = () => ({ status: 'retry', reason: 'not yet' })
      await first.finish()
      assert.equal(first.cursor.seq, 13)
      const damaged = new MemoryJournal().scalars('loss', 10).corrupt(0, isAll ? 2 : 1)
      if (!isAll) damaged.record(text('note'))
      damaged.record(FINISHED)
      for (const kept of [first.uploadsCursor, undefined]) {
        const second = stageOf(damaged, { cursor: first.cursor, ...(kept && { uploadsCursor: kept }) })
        await second.finish()
        assert.equal(second.closed?.complete, true)
        assert.deepEqual(pathsOf(second), isAll ? [] : ['11:last'])
        assertConserved(second, 10, 3)
        const { records } = destinationStats(second.counters, 0, undefined)
        assert.equal(records.corrupt, isAll ? 2 : 1)
      }
    })
  }

  test('a sink that always throws is told of and costs no record', async () => {
    const journal = new MemoryJournal()
    for (let index = 0; index < 20; index++) journal.record(text(`t${index}`))
    const stage = stageOf(journal)
    stage.uploader.uploadRule = () => {
      throw new Error('a bug')
    }
    await stage.finish()
    assert.equal(stage.closed?.complete, false)
    assert.ok(stage.letters.length <= 8)
    assert.ok(stage.issues.some(({ code }) => code === 'ERR_SINK_BUG'))
  })

  test('a disk that takes no letter costs nothing: the record is rejected later', async () => {
    const journal = new MemoryJournal().record(text('t')).record(text('u'))
    const stage = stageOf(journal)
    let refusals = 0
    stage.uploader.uploadRule = ({ seq }) => {
      if (seq !== 0) return undefined
      if (refusals++ === 0) stage.diskError = new Error('ENOSPC')
      return { status: 'split', code: 'ERR_REFUSED', reason: 'no' }
    }
    stage.end(3_600_000)
    await stage.play(() => refusals === 2)
    stage.diskError = undefined
    await stage.play()
    assert.equal(stage.closed?.complete, true)
    assert.equal(stage.letters.length, 1)
    assertConserved(stage, 0, 2)
  })
})
