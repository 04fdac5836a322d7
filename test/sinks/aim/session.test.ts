import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { AimConnection } from '../../../src/sinks/aim/connection.ts'
import { MessageWriter } from '../../../src/sinks/aim/message.ts'
import { Pace } from '../../../src/sinks/aim/pace.ts'
import { AimSession } from '../../../src/sinks/aim/session.ts'
import { FakeAim } from './fake-server.ts'

const HASH = 'a'.repeat(24)
const signal = () => AbortSignal.timeout(10_000)

async function scene(context: TestContext) {
  const fake = new FakeAim()
  const origin = (await fake.listen()).replace('aim', 'http')
  const connection = new AimConnection({ origin, basePath: '', headers: {}, secrets: [] })
  const session = new AimSession(connection, { runHash: HASH, createdAt: 0 })
  context.after(async () => {
    await session.close()
    await connection.close()
    await fake.stop()
  })
  assert.equal(await session.open(signal()), undefined)
  return { fake, session, connection }
}

function messageOf(session: AimSession, key: string, value: number): Buffer {
  const writer = new MessageWriter()
  writer.set(session.handlers.seqs, [key], value)
  return writer.take()
}

const keysOf = (fake: FakeAim) => [...fake.runs.get(HASH)!.seqs.members.keys()]

test('the repository is taken before anything else, and the lock without waiting', async (context) => {
  const { fake, session } = await scene(context)
  assert.ok(session.isNew)
  assert.equal(fake.runs.get(HASH)!.locks.size, 1)
  assert.deepEqual(fake.problems, [])
  await session.close()
  assert.equal(fake.runs.get(HASH)!.locks.size, 0, 'it is given back')
  assert.equal(fake.resources, 0, 'nothing of ours is left there')
})

test('messages arrive in order; after the server was started anew the next call binds the same handlers again', async (context) => {
  const { fake, session } = await scene(context)
  const many = Array.from({ length: 50 }, (_, at) => messageOf(session, `k${at}`, at))
  assert.equal(await session.send(many, signal()), undefined)
  assert.deepEqual(
    keysOf(fake),
    many.map((_, at) => `k${at}`),
  )
  fake.forgetClients()
  const again = [messageOf(session, 'after', 1)]
  const first = await session.send(again, signal())
  if (first !== undefined) {
    assert.equal(first.status, 'retry')
    assert.equal(await session.send(again, signal()), undefined)
  }
  assert.equal(keysOf(fake).at(-1), 'after')
  assert.deepEqual(fake.problems, [])
})

test('a client that was forgotten while its socket stayed is bound again', async (context) => {
  const { fake, session } = await scene(context)
  assert.equal(await session.send([messageOf(session, 'a', 1)], signal()), undefined)
  fake.dropResources()
  const forgotten = await session.send([messageOf(session, 'b', 1)], signal())
  assert.equal(forgotten?.status, 'retry')
  assert.equal(await session.send([messageOf(session, 'b', 1)], signal()), undefined)
  assert.deepEqual(keysOf(fake), ['a', 'b'])
})

test('an exception about content costs its call; one about the server’s disk is tried again', async (context) => {
  const { fake, session } = await scene(context)
  fake.refusedName = 'bad'
  const refused = await session.send([messageOf(session, 'bad', 1), messageOf(session, 'b', 1)], signal())
  assert.deepEqual([refused?.status, refused?.code], ['split', 'ERR_REFUSED'])
  assert.match(refused!.reason, /ValueError/)
  fake.failNext('full', HASH)
  const full = await session.send([messageOf(session, 'c', 1)], signal())
  assert.equal(full?.status, 'retry')
  assert.match(full!.reason, /No space left/)
  assert.equal(await session.send([messageOf(session, 'c', 1)], signal()), undefined)
})

test('a message that is never answered ends with the signal', async (context) => {
  const { fake, session } = await scene(context)
  fake.failNext('hang', HASH)
  const answer = await session.send([messageOf(session, 'a', 1)], AbortSignal.timeout(100))
  assert.equal(answer?.status, 'retry')
})

test('a slow server gets smaller messages, a quick one large ones, and what waits in a queue is not its slowness', () => {
  const pace = new Pace()
  const most = pace.messageBytes
  let now = 0
  for (let i = 0; i < 30; i++) {
    pace.begin(now)
    pace.end((now += 80), most)
  }
  const least = pace.messageBytes
  assert.ok(least < most / 2, `${least}`)
  for (let i = 0; i < 100; i++) {
    for (let n = 0; n < 4; n++) pace.begin(now)
    // 15 ms each, the last one 60 ms after it was sent
    for (let n = 0; n < 4; n++) pace.end((now += 15), least)
  }
  assert.equal(pace.messageBytes, most)
})
