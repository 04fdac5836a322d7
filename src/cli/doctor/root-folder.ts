/** The folder that runs lie in: is it writable, is there room, what kind of file system is it, who may look in? */
import { closeSync, existsSync, openSync, rmSync, statfsSync, statSync } from 'node:fs'
import { platform } from 'node:os'
import { dirname, join } from 'node:path'
import type { Finding } from '../../sinks/contract.ts'
import { bytes } from '../text.ts'

/** A run of 10 million points takes some 300 MB. */
const SCARCE_BYTES = 1024 ** 3
const TOO_LITTLE_BYTES = 64 * 1024 ** 2

/** `f_type` of statfs(2) on Linux: file systems whose files are on another machine. */
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9P'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x65735546, 'FUSE'],
])
const IN_MEMORY: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
])

export function rootFindings(root: string): Finding[] {
  const folder = nearestThere(root)
  const what = 'folder'
  const fix = `make ${folder} writable for this user, or set TRACELET_DIR`
  try {
    if (!statSync(folder).isDirectory())
      return [
        { level: 'fail', what, seen: `${folder} is not a folder`, fix: 'remove it or set TRACELET_DIR' },
      ]
    tryToWrite(folder)
  } catch (error) {
    return [{ level: 'fail', what, seen: `cannot write below ${folder}: ${(error as Error).message}`, fix }]
  }
  const seen = folder === root ? `${root} is writable` : `${root} will be made by the first run`
  return [{ level: 'ok', what, seen }, ...modeFindings(root), ...fileSystemFindings(folder)]
}

export function spaceFinding(free: number): Finding {
  const what = 'free space'
  const fix = 'make room, or remove runs that are delivered: tracelet prune'
  if (free < TOO_LITTLE_BYTES) return { level: 'fail', what, seen: bytes(free), fix }
  if (free < SCARCE_BYTES) return { level: 'warn', what, seen: bytes(free), fix }
  return { level: 'ok', what, seen: bytes(free) }
}

/** @param type `f_type` of Linux; other systems number theirs in other ways */
export function fileSystemFinding(type: number): Finding {
  const what = 'file system'
  const network = NETWORK.get(type >>> 0)
  if (network !== undefined) {
    return {
      level: 'warn',
      what,
      seen: `${network}, perhaps on another machine: appends may be slow, and whether another machine's process lives is a guess`,
      fix: 'set TRACELET_DIR to a local disk; a folder of a run may be copied afterwards',
    }
  }
  const memory = IN_MEMORY.get(type >>> 0)
  if (memory !== undefined) {
    return {
      level: 'warn',
      what,
      seen: `${memory}: it is gone when the machine stops, and it takes memory`,
      fix: 'set TRACELET_DIR to a disk',
    }
  }
  return { level: 'ok', what, seen: `on a local disk (type 0x${(type >>> 0).toString(16)})` }
}

function fileSystemFindings(folder: string): Finding[] {
  try {
    const { bavail, bsize, type } = statfsSync(folder)
    const space = spaceFinding(bavail * bsize)
    return platform() === 'linux' ? [space, fileSystemFinding(type)] : [space]
  } catch (error) {
    const seen = `unknown: ${(error as Error).message}`
    return [{ level: 'warn', what: 'free space', seen, fix: 'look at the disk yourself' }]
  }
}

function modeFindings(root: string): Finding[] {
  if (!existsSync(root) || platform() === 'win32') return []
  const { mode, uid } = statSync(root)
  const octal = (mode & 0o777).toString(8).padStart(4, '0')
  const findings: Finding[] = []
  if ((mode & 0o022) !== 0) {
    const seen = `${octal}: other users may put runs there or take them away`
    findings.push({ level: 'warn', what: 'mode', seen, fix: `chmod go-w ${root}` })
  } else findings.push({ level: 'ok', what: 'mode', seen: octal })
  const self = process.getuid?.()
  if (self !== undefined && self !== 0 && uid !== self) {
    const seen = `belongs to user ${uid}, this is user ${self}`
    findings.push({ level: 'warn', what: 'owner', seen, fix: 'run as its owner, or set TRACELET_DIR' })
  }
  return findings
}

function tryToWrite(folder: string): void {
  const file = join(folder, `.doctor-${process.pid}`)
  closeSync(openSync(file, 'wx', 0o600))
  rmSync(file)
}

function nearestThere(path: string): string {
  let at = path
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  return at
}
