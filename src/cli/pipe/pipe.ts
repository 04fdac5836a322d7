/** `tracelet pipe`: JSON lines on standard input, from any language, become a run. */
import { TraceletError } from '../../core/errors.ts'
import { type Run, type RunOutcome, type Stats, startLogging } from '../../index.ts'
import { say } from '../../pipeline/say.ts'
import { type Command, EXIT, JSON_OPTION, UsageError } from '../command.ts'
import { Ending, exitPrinted } from '../ending.ts'
import { formatReport, isDelivered } from '../report.ts'
import { Feed } from './feed.ts'
import { RUN_FLAGS, toStartOptions } from './flags.ts'
import { LineSplitter } from './lines.ts'

const MAX_LINE_BYTES = 1 << 26
/** Files that may be copied at once before reading goes on. */
const MAX_COPYING = 64
/** After a signal: what the producer has printed is still read for so long, then delivered for so long. */
const SIGNAL_READ_MS = 500
const SIGNAL_DEADLINE_MS = 5000

export const pipeCommand: Command = {
  name: 'pipe',
  summary: 'make a run of JSON lines on standard input: python train.py | tracelet pipe',
  usage: 'pipe [options] < LINES',
  details: [
    'A line is a JSON object. Its numbers are metrics; step, time (ms since 1970) and context say where they stand:',
    '  {"step": 1, "loss": 0.5, "acc": 0.9}',
    'With a "type" it is something else:',
    '  {"type": "params", "params": {"lr": 0.1}}      tags, notes, metric, dataset likewise',
    '  {"type": "text", "name": "sample", "text": "…", "step": 1}',
    '  {"type": "histogram", "name": "w", "values": [1, 2, 3]}     or edges and counts',
    '  {"type": "image", "name": "x", "path": "x.png"}             or base64; figure likewise, or a Plotly figure',
    '  {"type": "table", "name": "t", "columns": ["a"], "data": [[1]]}   or rows of objects',
    '  {"type": "pr_curve", "name": "p", "labels": […], "predictions": […]}',
    '  {"type": "artifact", "path": "model.bin"}      model likewise, with register, alias …; input names one that is read',
    '  {"type": "file", "path": "log.txt", "as": "logs/train.txt"} a file of the run; code keeps the program',
    '  {"type": "alert", "title": "loss is NaN", "level": "error"} people are told, where a backend tells them',
    '  {"type": "finish", "outcome": "failed"}        the end of the input finishes the run too',
    'A line that is not understood is told with its number and costs itself only.',
  ],
  options: { ...RUN_FLAGS, json: JSON_OPTION },
  exits: {
    [EXIT.ok]: 'every line was logged and delivered',
    [EXIT.failed]: 'some line was not understood, or something was lost or is still undelivered',
    [EXIT.interrupted]: 'ended by Ctrl-C (143 by SIGTERM, 129 by SIGHUP); the run is closed as killed',
  },
  outlivesReader: true,
  async run(values) {
    const feed = new Feed(say)
    const run = start(values, feed)
    const ending = new Ending(`what was printed by now is sent for ${SIGNAL_DEADLINE_MS / 1000} s`)
    const reading = read(feed, ending)
    // whoever reads this may send a signal: it is listened for by now
    say(`run ${run.id}`)
    await reading
    await ending.within(feed.settled(), SIGNAL_READ_MS)
    const wasAsked = ending.signal.aborted
    const outcome: RunOutcome = wasAsked ? 'killed' : (feed.outcome ?? 'finished')
    const finished = run.finish(outcome, wasAsked ? { deadlineMs: SIGNAL_DEADLINE_MS } : {})
    // who asks while the backends are waited for has waited long enough
    const stats = wasAsked ? await finished : await ending.within(finished, 0)
    ending.stop()
    const sums = stats ?? run.stats()
    process.stdout.write(values.json === true ? toJson(run, outcome, feed, sums) : toText(run, feed, sums))
    const code = ending.exitCode ?? exitCode(feed, sums)
    return stats === undefined ? exitPrinted(code) : code
  },
}

function start(values: Readonly<Record<string, unknown>>, feed: Feed): Run {
  try {
    const options = toStartOptions(values)
    const run = startLogging({ ...options, onIssue: (issue) => feed.hear(issue) })
    feed.start(run)
    return run
  } catch (error) {
    const isUsage =
      error instanceof TraceletError && ['ERR_OPTION', 'ERR_BACKEND_UNKNOWN'].includes(error.code)
    throw isUsage ? new UsageError(`pipe: ${error.message}`) : error
  }
}

/** Until the input ends, or some time after a signal came. */
function read(feed: Feed, { signal }: Ending): Promise<void> {
  const { stdin } = process
  const splitter = new LineSplitter(MAX_LINE_BYTES, (...line) => feed.take(...line))
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined
    const onSignal = () => {
      timer = setTimeout(done, SIGNAL_READ_MS)
    }
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onSignal)
      stdin.removeAllListeners('data')
      stdin.removeListener('end', done)
      stdin.destroy()
      splitter.end()
      resolve()
    }
    signal.addEventListener('abort', onSignal, { once: true })
    stdin.on('data', (chunk: Buffer) => {
      splitter.push(chunk)
      if (feed.copying < MAX_COPYING) return
      stdin.pause()
      void feed.settled().then(() => stdin.resume())
    })
    stdin.once('end', done)
    stdin.once('error', (error) => {
      say(`standard input: ${error.message}`)
      done()
    })
  })
}

function exitCode(feed: Feed, stats: Stats): number {
  const { lost, records } = stats
  const isWhole = feed.malformedLines === 0 && lost.laneFull + lost.disk + records.lost === 0
  return isWhole && Object.values(stats.destinations).every(isDelivered) ? EXIT.ok : EXIT.failed
}

function toText(run: Run, feed: Feed, stats: Stats): string {
  const places = Object.entries(stats.destinations)
    .filter(([, { url }]) => url !== '')
    .map(([name, { url }]) => ({ name, look: url }))
  const lines = `${feed.lines} lines, ${feed.malformedLines} malformed`
  return `${formatReport({ runId: run.id, stats, places })}\n\n${lines}\n`
}

function toJson(run: Run, outcome: RunOutcome, feed: Feed, stats: Stats): string {
  const { lines, malformedLines, faults } = feed
  return `${JSON.stringify({ run: run.id, folder: run.info.folder, outcome, lines, malformedLines, faults, stats })}\n`
}
