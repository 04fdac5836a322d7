/** The program's source as an artifact: what people wrote, and nothing that was installed, built or is hidden. */
import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openRun, startLogging } from '../../../src/index.ts'
import { runProgram, temporaryFolder } from '../program.ts'

const SOURCE = [
  ...['train.js', 'a.mjs', 'a.cjs', 'a.jsx', 'a.ts', 'a.mts', 'a.cts', 'a.tsx', 'a.py', 'a.ipynb', 'a.sh'],
  ...['package.json', 'tsconfig.json', 'lib/pyproject.toml', 'requirements.txt', 'Dockerfile'],
  ...['src/deep/er/größe 漢.ts', 'build/own.ts', '.eslintrc.js'],
]
const OTHERS = [
  ...[
    'data.json',
    'weights.bin',
    'notes.md',
    'package-lock.json',
    'x.ts.bak',
    'ts',
    '.env',
    'my-package.json',
  ],
  ...['node_modules/x/index.js', 'src/node_modules/x.js', 'dist/a.js', 'src/__pycache__/a.py', '.git/a.py'],
  ...['.cache/a.ts', 'bower_components/a.js', 'env/pyvenv.cfg', 'env/lib/a.py', 'runs/project/r/a.py'],
]

function start(context: TestContext, files: readonly string[]) {
  const told: string[] = []
  const folder = temporaryFolder(context)
  for (const path of files) {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), path)
  }
  const onIssue = ({ code, message }: { code: string; message: string }) => told.push(`${code}: ${message}`)
  const run = startLogging({ backend: 'local', dir: join(folder, 'runs'), onIssue })
  context.after(() => run.finish())
  const logged = async () => {
    await run.flush()
    return openRun(run.info.folder)
      .artifacts()
      .map(({ name, type, files }) => ({ name, type, paths: files().map(({ path }) => path) }))
  }
  return { folder, run, told, logged }
}

test('source files below a folder are taken, quietly without the rest', async (context) => {
  const { folder, run, told, logged } = start(context, [...SOURCE, ...OTHERS])
  const answer = await run.logCode(folder)
  assert.ok(answer.status === 'taken')
  assert.equal(answer.files, SOURCE.length)
  const [code] = await logged()
  assert.deepEqual([code!.name, code!.type], ['code', 'code'])
  assert.deepEqual(code!.paths, [...SOURCE].sort())
  assert.deepEqual(told, [])
})

test('include and exclude choose by path, and never bring back what is installed or hidden', async (context) => {
  const { folder, run, told, logged } = start(context, [...SOURCE, ...OTHERS])
  await run.logCode(folder, { name: 'mine', include: ['*.ts', 'notes.md', '*/index.js'], exclude: 'build/*' })
  await run.logCode(folder, { include: '*.md' })
  assert.deepEqual(await logged(), [
    { name: 'mine', type: 'code', paths: ['a.ts', 'notes.md', 'src/deep/er/größe 漢.ts'] },
    { name: 'code', type: 'code', paths: ['notes.md'] },
  ])
  assert.deepEqual(told, [])
})

test('without a folder it is the current one; one file is taken whatever its name', async (context) => {
  const folder = temporaryFolder(context)
  writeFileSync(join(folder, 'own.ts'), 'x')
  writeFileSync(join(folder, 'Makefile'), 'x')
  const ended = await runProgram(folder, async ({ startLogging, openRun }) => {
    const run = startLogging({ backend: 'local', dir: 'runs' })
    await run.logCode(undefined, { exclude: 'program*' })
    await run.logCode('Makefile', { name: 'make' })
    await run.finish()
    const paths = openRun(run.info.folder)
      .artifacts()
      .map((one) => one.files().map(({ path }) => path))
    process.stdout.write(JSON.stringify(paths))
  })
  assert.deepEqual(JSON.parse(ended.stdout), [['own.ts'], ['Makefile']], ended.stderr)
})

test('what is no source folder is refused with a reason, and so is too much of it', async (context) => {
  const { folder, run, told, logged } = start(context, ['notes.md', 'large/a.py', 'large/b.py', 'many/x.py'])
  for (const name of ['a', 'b']) truncateSync(join(folder, `large/${name}.py`), 40 * 2 ** 20)
  for (let at = 0; at < 10_000; at++) writeFileSync(join(folder, `many/f${at}.py`), '')
  const refused = async (path: string, options = {}) => {
    const answer = await run.logCode(path, options)
    assert.equal(answer.status, 'failed', path)
    return answer.status === 'failed' ? `${answer.code} ${answer.reason}` : ''
  }
  assert.match(await refused(join(folder, 'large')), /^ERR_ARTIFACT .*more than 67108864 bytes .*`exclude`/)
  assert.match(await refused(join(folder, 'many')), /^ERR_ARTIFACT .*more than 10000 files/)
  assert.match(await refused(folder, { include: 'x*' }), /^ERR_ARTIFACT .*holds no source files/)
  assert.match(await refused(join(folder, 'not there')), /^ERR_ARTIFACT .*cannot be read/)
  assert.match(await refused('https://host/repository.git'), /^ERR_VALUE .*is an address/)
  assert.match(await refused(folder, { include: [7] }), /^ERR_VALUE .*`include`/)
  assert.match(await refused(folder, { name: '' }), /^ERR_NAME/)
  assert.equal(told.length, 7)
  assert.deepEqual(await logged(), [])
  assert.equal((await run.logCode(join(folder, 'large'), { exclude: '*b.py' })).status, 'taken')
})

test('links are followed within the folder only; one to what is never taken says nothing', async (context) => {
  const { folder, run, told, logged } = start(context, ['src/a.py', 'elsewhere/b.py', 'elsewhere/c.py'])
  symlinkSync('a.py', join(folder, 'src/linked.py'))
  symlinkSync(join(folder, 'elsewhere'), join(folder, 'src/node_modules'))
  symlinkSync(join(folder, 'elsewhere/b.py'), join(folder, 'src/data.bin'))
  symlinkSync(join(folder, 'elsewhere/b.py'), join(folder, 'src/out.py'))
  await run.logCode(join(folder, 'src'))
  assert.deepEqual(
    (await logged()).map(({ paths }) => paths),
    [['a.py', 'linked.py']],
  )
  assert.deepEqual(told.length, 1)
  assert.match(told[0]!, /'out\.py' is a link out of the folder: left out$/)
})
