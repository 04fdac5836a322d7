import assert from 'node:assert/strict'
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeFinding } from '../../src/cli/doctor/installation.ts'
import { fileSystemFinding, spaceFinding } from '../../src/cli/doctor/root-folder.ts'
import { startLogging } from '../../src/index.ts'
import type { Finding } from '../../src/sinks/contract.ts'
import { runProgram, temporaryFolder } from '../run/program.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'
import { tracelet, traceletIntoClosedPipe, traceletWith } from './run-cli.ts'
import { finishedRun } from './runs.ts'
import { ESC, inTerminal } from './terminal.ts'

type Told = Finding & { readonly area: string }

async function diagnose(root: string, environment: NodeJS.ProcessEnv, ...args: string[]) {
  const { code, stdout, stderr } = await traceletWith(root, environment, 'doctor', '--json', ...args)
  assert.equal(stderr, '')
  const { verdict, findings } = JSON.parse(stdout) as { verdict: string; findings: Told[] }
  for (const { level, fix, what } of findings) if (level !== 'ok') assert.ok(fix, `${what} has no fix`)
  return { code, verdict, findings, bad: findings.filter(({ level }) => level !== 'ok') }
}

test('where nothing is wrong everything is ok', async (context) => {
  const root = temporaryFolder(context)
  await finishedRun(root, 'fine', { backend: ['local', 'tensorboard'] })
  const { code, findings, bad } = await diagnose(root, {})
  assert.deepEqual(
    // the machine may be short of disk, or test on a file system of its own kind
    bad.filter(({ what }) => what !== 'file system' && what !== 'free space' && what !== 'Node'),
    [],
  )
  assert.equal(code, 0)
  const areas = new Set(findings.map(({ area }) => area))
  assert.deepEqual(
    [...areas],
    ['installation', 'configuration', 'disk', 'runs', 'backend local', 'backend tensorboard'],
  )
  const run = await diagnose(root, {}, 'fine')
  assert.equal(run.code, 0)
  assert.match(JSON.stringify(run.findings), /15\d points and records, all sound/)
})

test('variables are told with their option; unknown ones with what was meant', async (context) => {
  const root = temporaryFolder(context)
  const { code, findings } = await diagnose(root, {
    TRACELET_DURABILTY: 'power',
    TRACELET_DURABILITY: 'power',
    TRACELET_BACKEND: 'local',
    TRACELET_TEST_ANYTHING: '1',
  })
  assert.equal(code, 0)
  const about = (name: string) => findings.find(({ what }) => what === name)
  assert.equal(about('TRACELET_DURABILITY')?.seen, 'durability = power')
  assert.equal(about('TRACELET_DURABILTY')?.fix, 'did you mean TRACELET_DURABILITY?')
  assert.equal(about('TRACELET_DURABILTY')?.level, 'warn')
  assert.equal(about('TRACELET_TEST_ANYTHING'), undefined)
  const wrong = await diagnose(root, { TRACELET_BACKEND: 'mlfow', TRACELET_LANE_SLOTS: 'many' })
  assert.equal(wrong.code, 1)
  assert.match(JSON.stringify(wrong.bad), /did you mean 'mlflow'.*/)
  assert.match(JSON.stringify(wrong.bad), /TRACELET_LANE_SLOTS must be a number/)
})

test('a backend that does not exist is a fault of what named it', async (context) => {
  const root = temporaryFolder(context)
  const byOption = await diagnose(root, {}, '--backend', 'neptune')
  assert.match(
    byOption.bad.find(({ what }) => what === 'ERR_BACKEND_UNKNOWN')?.fix ?? '',
    /^correct --backend/,
  )
  const byVariable = await diagnose(root, { TRACELET_BACKEND: 'neptune' })
  assert.match(byVariable.bad.find(({ what }) => what === 'ERR_BACKEND_UNKNOWN')?.fix ?? '', /the variable/)
})

test('no secret is ever printed', async (context) => {
  const root = temporaryFolder(context)
  const fake = await FakeMlflow.start({ basicAuth: 'somebody:else' })
  context.after(() => fake.stop())
  const secrets = ['pw-4711-secret', 'tok-0815-secret', 'url-pass-2342']
  const environment = {
    TRACELET_BACKEND: 'mlflow,tensorboard',
    MLFLOW_TRACKING_URI: fake.uri.replace('//', `//user:${secrets[2]}@`),
    MLFLOW_TRACKING_PASSWORD: secrets[0],
    MLFLOW_TRACKING_TOKEN: secrets[1],
    TRACELET_API_KEY: secrets[1],
  }
  for (const args of [['doctor'], ['doctor', '--json']]) {
    const { stdout, stderr } = await traceletWith(root, environment, ...args)
    for (const secret of secrets) {
      const spellings = [secret!, Buffer.from(`user:${secret}`).toString('base64')]
      for (const text of spellings) assert.ok(!(stdout + stderr).includes(text), text)
    }
    assert.match(stdout, /MLFLOW_TRACKING_PASSWORD/)
    assert.match(stdout, /set, not shown/)
  }
})

test('a run with damage, missing content and refusals is told so, each with what to do', async (context) => {
  const root = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'ill', backend: 'local' })
  for (let step = 0; step < 500; step++) run.log({ loss: step }, { step })
  await run.flush()
  for (let step = 500; step < 1000; step++) run.log({ loss: step }, { step })
  const table = Array.from({ length: 500 }, (_, row) => ({ row, text: `row ${row}` }))
  run.logTable('worst', table)
  await run.finish()
  const { folder } = run.info
  const journal = join(folder, readdirSync(folder).find((name) => name.endsWith('.tlj'))!)
  const bytes = readFileSync(journal)
  // into the values of the points of the first flush
  const at = Math.floor(bytes.length / 3)
  bytes.fill(0xff, at, at + 8)
  writeFileSync(journal, bytes)
  rmSync(join(folder, 'blobs'), { recursive: true })
  const letter = {
    destination: 'local',
    seq: 3,
    code: 'ERR_REFUSED',
    reason: 'bad name',
    at: 1,
    kind: 'tags',
  }
  writeFileSync(join(folder, 'dead-letters.jsonl'), `${JSON.stringify(letter)}\n`)
  const { code, bad } = await diagnose(root, {}, 'ill')
  assert.equal(code, 1)
  const seen = bad.map(({ what, level, seen }) => `${level} ${what}: ${seen}`).join('\n')
  assert.match(
    seen,
    /fail journal: [\d,]+ are lost to damage \(numbers \d+ to \d+: [\d,]+ points and 0 records\)/,
  )
  assert.match(seen, /fail content: 1 of 1 blobs: table: .* is missing/)
  assert.match(seen, /warn local: refused 1: ERR_REFUSED: bad name/)
})

test('run files, letters and content with other bytes are told, and nothing is changed', async (context) => {
  const root = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'scratched', backend: 'local' })
  run.logTable('worst', [{ row: 1 }])
  await run.finish()
  const { folder } = run.info
  const flip = (path: string) => {
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(path, bytes)
    return bytes
  }
  const runFile = flip(join(folder, 'run.json'))
  const blob = readdirSync(join(folder, 'blobs'), { recursive: true, withFileTypes: true }).find((one) =>
    one.isFile(),
  )!
  flip(join(blob.parentPath, blob.name))
  writeFileSync(join(folder, 'dead-letters.jsonl'), '{"destination":"lo\n\0\n')
  const { code, bad } = await diagnose(root, {}, 'scratched')
  assert.equal(code, 1)
  const seen = bad.map(({ what, level, seen }) => `${level} ${what}: ${seen}`).join('\n')
  assert.match(seen, /warn run\.json: .*run\.json is damaged \(.*\): going on from its copy/)
  assert.match(seen, /warn dead letters: 2 lines/)
  assert.match(seen, /fail content: 1 of 1 blobs: table: .* was changed/)
  assert.deepEqual(readFileSync(join(folder, 'run.json')), runFile)
})

test('damaged cursors, what is pending and guards of the dead are told', async (context) => {
  const root = temporaryFolder(context)
  const obstacle = join(root, 'obstacle')
  writeFileSync(obstacle, '')
  await runProgram(
    root,
    async ({ startLogging: start }, { args }) => {
      const run = start({ runId: 'gone', backend: { tensorboard: { logDir: args[0]! } } })
      run.log({ loss: 1 })
      await run.flush()
      process.kill(process.pid, 'SIGKILL')
    },
    [join(obstacle, 'logs')],
  )
  const all = await diagnose(root, {})
  assert.match(JSON.stringify(all.bad), /run gone, writer: process \d+ on .* is gone and left it/)
  assert.match(JSON.stringify(all.bad), /tracelet sync gone/)
  const one = await diagnose(root, {}, 'gone')
  assert.match(JSON.stringify(one.bad), /1 points and \d records are pending/)
  // its destination cannot be written: the obstacle is a file
  assert.equal(one.code, 1)

  const folder = await finishedRun(root, 'hurt', { backend: ['local', 'tensorboard'] })
  const cursors = readdirSync(join(folder, 'cursors')).filter((name) => !name.includes('previous'))
  for (const name of cursors) writeFileSync(join(folder, 'cursors', name), 'nonsense')
  writeFileSync(join(folder, 'guards', 'writer.1.json'), '{"format":"tracelet-guard","version":9}\n')
  const hurt = await diagnose(root, {}, 'hurt')
  assert.match(JSON.stringify(hurt.bad), /"what":"tensorboard".*is damaged/)
  assert.match(JSON.stringify(hurt.bad), /writer\.1\.json cannot be read.*newer.*nothing needs removing/)
})

test('a folder that others may write to, a full disk and a network disk are warned of', async (context) => {
  const root = temporaryFolder(context)
  chmodSync(root, 0o777)
  const { bad } = await diagnose(root, {})
  assert.ok(bad.some(({ what, fix }) => what === 'mode' && fix === `chmod go-w ${root}`))
  assert.equal(spaceFinding(1024).level, 'fail')
  assert.equal(spaceFinding(500 * 1024 ** 2).level, 'warn')
  assert.equal(spaceFinding(50 * 1024 ** 3).level, 'ok')
  assert.match(fileSystemFinding(0x6969).seen, /^NFS/)
  assert.match(fileSystemFinding(0xff534d42 | 0).seen, /^CIFS/)
  assert.equal(fileSystemFinding(0xef53).level, 'ok')
  const file = join(root, 'file')
  writeFileSync(file, '')
  const wrong = await diagnose(root, {}, '--dir', join(file, 'runs'))
  assert.equal(wrong.code, 1)
})

test('Node is judged by the floor of the package and by what is tested', () => {
  const { engines } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
  const floor = engines.node.replace('>=', '')
  assert.equal(nodeFinding(`v${floor}`).level, 'ok')
  for (const [version, level] of [
    ['v18.20.0', 'fail'],
    ['v20.18.0', 'fail'],
    ['v20.17.9', 'fail'],
    ['v20.19.0', 'ok'],
    ['v22.0.0', 'ok'],
    ['v24.21.0', 'ok'],
    ['v23.1.0', 'warn'],
    ['v26.0.0', 'warn'],
  ] as const)
    assert.equal(nodeFinding(version).level, level, version)
})

test('in a terminal marks are coloured; head ends it quietly', async (context) => {
  const root = temporaryFolder(context)
  assert.deepEqual(await traceletIntoClosedPipe(root, 'doctor'), { code: 0, stderr: '' })
  const piped = await tracelet(root, 'doctor')
  assert.match(piped.stdout, /^ {2}✓ tracelet: \d/m)
  assert.match(piped.stdout, /^\d+ ok, \d+ warnings?, 0 failed$/m)
  const shown = await inTerminal(context, root, ['doctor'], {
    environment: { MLFLOW_TRACKING_URI: 'http://127.0.0.1:9', TRACELET_BACKEND: 'mlflow' },
  })
  if (shown === undefined) return
  assert.equal(shown.code, 1)
  assert.ok(shown.screen.includes(`${ESC}[31m✗`))
  assert.match(shown.screen, /→ start the server/)
})
