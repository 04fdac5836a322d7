import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HttpClient } from '../../../src/sinks/http.ts'
import { WandbApi } from '../../../src/sinks/wandb/api.ts'
import { WandbStandIn } from './stand-in/stand-in.ts'

const never = new AbortController().signal

test('what a server offers is asked once; one that did not say is asked again after a minute', async (context) => {
  const server = await WandbStandIn.start({ features: ['FILESTREAM_GZIP'] })
  const http = new HttpClient({
    origin: server.url,
    connections: 1,
    headers: { authorization: `Basic ${Buffer.from(`api:${'k'.repeat(40)}`).toString('base64')}` },
    secrets: [],
  })
  context.after(async () => {
    await http.close()
    await server.stop()
  })
  let now = 1_000
  const api = new WandbApi(http, server.url, () => now)
  const looks = () => server.requests.filter(({ operation }) => operation === 'ServerFeaturesQuery').length
  server.failNext({ kind: 'answer', status: 503 }, ({ operation }) => operation === 'ServerFeaturesQuery')
  const first = [api.offers('FILESTREAM_GZIP', never), api.offers('FILESTREAM_GZIP', never)]
  assert.deepEqual(await Promise.all(first), [false, false])
  now += 59_000
  assert.equal(await api.offers('FILESTREAM_GZIP', never), false)
  assert.equal(looks(), 1)
  now += 2_000
  assert.equal(await api.offers('FILESTREAM_GZIP', never), true)
  now += 1e9
  assert.equal(await api.offers('FILESTREAM_GZIP', never), true)
  assert.equal(await api.offers('SOMETHING_ELSE', never), false)
  assert.equal(looks(), 2)
})
