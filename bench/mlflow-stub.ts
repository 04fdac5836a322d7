/**
 * A server in a process of its own that answers MLflow's calls at once and keeps nothing but a count of points:
 * what bounds delivery to it is the sender. Until told 'go' it leaves the first call unanswered.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type ToStub = 'go' | 'count'
export type FromStub = { readonly port: number } | { readonly points: number; readonly full: number }

const FULL = 1000
const RUN = { info: { run_id: '0'.repeat(32), experiment_id: '1', lifecycle_stage: 'active' } }
const ANSWERS: readonly (readonly [route: string, answer: object])[] = [
  ['experiments/get-by-name', { experiment: { experiment_id: '1', lifecycle_stage: 'active' } }],
  ['runs/create', { run: RUN }],
  ['runs/log-batch', {}],
  ['runs/search', {}],
  ['runs/update', { run_info: RUN.info }],
]

let points = 0
let full = 0
let held: (() => void)[] | undefined = []

const tell = (message: FromStub) => process.send!(message)
const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const found = ANSWERS.find(([route]) => request.url!.includes(route))
    const count = countPoints(Buffer.concat(chunks))
    points += count
    if (count >= FULL) full++
    const answer = () => reply(response, found?.[1] ?? {})
    if (held === undefined) answer()
    else held.push(answer)
  })
})
server.listen(0, '127.0.0.1', () => tell({ port: (server.address() as AddressInfo).port }))
process.on('message', (message: ToStub) => {
  if (message === 'count') return tell({ points, full })
  for (const answer of held ?? []) answer()
  held = undefined
})
process.on('disconnect', () => process.exit())

function reply(response: ServerResponse, answer: object): void {
  const text = JSON.stringify(answer)
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length }).end(text)
}

function countPoints(body: Buffer): number {
  const mark = '"timestamp":'
  let count = 0
  for (let at = body.indexOf(mark); at !== -1; at = body.indexOf(mark, at + mark.length)) count++
  return count
}
