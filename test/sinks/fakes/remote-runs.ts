/** What the fake servers hold of a run besides its points. */
import type { FakeAnswer } from './fault-server.ts'

export class RemoteRun {
  readonly nonce: string
  readonly params: Record<string, string> = Object.create(null)
  readonly tags: Record<string, string> = Object.create(null)
  /** By the sequence number of the record. */
  readonly rewinds = new Map<number, number>()
  /** Titles, and artifacts that were read; by the sequence number of the record. */
  readonly alerts = new Map<number, string>()
  readonly inputs = new Map<number, string>()
  outcome: 'running' | 'finished' | 'failed' | 'killed' | undefined
  isGone = false

  constructor(nonce: string) {
    this.nonce = nonce
  }

  /** Takes a record as the fake sinks send it; a parameter keeps its first value. */
  take(kind: string, content: unknown): FakeAnswer {
    if (kind === 'rewind') {
      const { seq, fromStep } = content as { seq: number; fromStep: number }
      this.rewinds.set(seq, fromStep)
      return { status: 200, body: { rejected: [] } }
    }
    if (kind === 'alert' || kind === 'input') {
      const { seq, name } = content as { seq: number; name: string }
      const named = kind === 'alert' ? this.alerts : this.inputs
      named.set(seq, name)
      return { status: 200, body: { rejected: [] } }
    }
    if (kind === 'state') {
      this.outcome = content as typeof this.outcome & string
      return { status: 200, body: { rejected: [] } }
    }
    const rejected: { index: number; reason: string }[] = []
    for (const [index, [name, value]] of Object.entries(content as object).entries()) {
      const held = kind === 'params' ? this.params[name] : undefined
      if (held !== undefined && held !== value) rejected.push({ index, reason: `it is '${held}'` })
      else if (kind === 'params') this.params[name] = value
      else this.tags[name] = value
    }
    return { status: 200, body: { rejected } }
  }
}
