/** Telling whether a process that wrote its identity into a file still lives. */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

export interface ProcessIdentity {
  /** `<id>/<name>`: the machine's id, empty where it has none, and its name, since images of one machine share the id. */
  readonly host: string
  /** Changes with each start of the machine; '' where the system does not tell. */
  readonly boot: string
  /** Which numbering of processes `pid` belongs to: containers have their own; '' where there is no such thing. */
  readonly pidSpace: string
  readonly pid: number
  /** When the process started, in the system's own ticks: tells it from a later one of the same pid; '' unknown. */
  readonly startTime: string
}

/** 'elsewhere': on another machine, or in a container whose processes cannot be seen from here. */
export type Liveness = 'alive' | 'gone' | 'elsewhere'

let own: ProcessIdentity | undefined

export function ownIdentity(): ProcessIdentity {
  own ??= {
    host: `${firstLine('/etc/machine-id')}/${hostname()}`,
    boot: firstLine('/proc/sys/kernel/random/boot_id'),
    pidSpace: readLink('/proc/self/ns/pid'),
    pid: process.pid,
    startTime: startTimeOf(process.pid) ?? '',
  }
  return own
}

export function isOwnIdentity(other: ProcessIdentity): boolean {
  const self = ownIdentity()
  return (Object.keys(self) as (keyof ProcessIdentity)[]).every((key) => self[key] === other[key])
}

/** @param self where it is looked from */
export function livenessOf(other: ProcessIdentity, self: ProcessIdentity = ownIdentity()): Liveness {
  const isSameBoot = self.boot !== '' && self.boot === other.boot
  if (!isSameBoot) {
    if (self.host !== other.host) return 'elsewhere'
    // A name alone is no machine: containers of one name may run on several that share a disk.
    if (self.boot !== '' && other.boot !== '') return self.host.startsWith('/') ? 'elsewhere' : 'gone'
  }
  if (self.pidSpace !== other.pidSpace) return 'elsewhere'
  if (!isRunning(other.pid)) return 'gone'
  const startTime = startTimeOf(other.pid)
  if (startTime === undefined) return isRunning(other.pid) ? 'alive' : 'gone'
  return startTime === '' || (other.startTime !== '' && startTime !== other.startTime) ? 'gone' : 'alive'
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** '' for a process that has ended and only waits to be collected by its parent; undefined where unknown. */
function startTimeOf(pid: number): string | undefined {
  const stat = firstLine(`/proc/${pid}/stat`)
  if (stat === '') return undefined
  // The command's name stands in parentheses and may hold anything, so fields count from the last one:
  // state is field 3, start time field 22.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? undefined)
}

function firstLine(path: string): string {
  try {
    return readFileSync(path, 'utf8').split('\n', 1)[0]!.trim()
  } catch {
    return ''
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
