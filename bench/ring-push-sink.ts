/** What thread-stream writes to in its thread. */
import { Writable } from 'node:stream'

export default function sink(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() })
}
