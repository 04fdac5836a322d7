/**
 * The keys a run uses at MLflow. A name that is no key is mapped (`keys.ts`), and the mapping is remembered beside
 * the run: tag `tracelet.key.<hash>` = JSON `[name, context]`, sent before the first use of the key.
 */
import type { Series, SeriesId } from '../../core/types.ts'
import { type Entry, fitText, MAX_TAG_CHARS, pointPrefix } from './encode.ts'
import { keyOf } from './keys.ts'

export class KeyBook {
  readonly #prefixes: (string | undefined)[] = []
  readonly #keys: (string | undefined)[] = []
  /** Tags to send, by tag key; they stay until `remembered`. */
  readonly #unsent = new Map<string, string>()
  readonly #known = new Set<string>()
  readonly #onMapped: (name: string, key: string) => void

  /** @param onMapped called at the first use of each mapped name */
  constructor(onMapped: (name: string, key: string) => void) {
    this.#onMapped = onMapped
  }

  /** Learns the series; `prefix` and `key` answer for it from then on. */
  learn(id: SeriesId, describe: (id: SeriesId) => Series): void {
    if (this.#prefixes[id] !== undefined) return
    const { name, context } = describe(id)
    const key = this.key(name, context)
    this.#keys[id] = key
    this.#prefixes[id] = pointPrefix(key)
  }

  readonly prefix = (id: SeriesId): string => this.#prefixes[id]!

  seriesKey(id: SeriesId): string {
    return this.#keys[id]!
  }

  /** The key of a name, noted to be remembered when it is a mapped one. */
  key(name: string, context = ''): string {
    const { key, hash } = keyOf(name, context)
    if (hash !== '' && !this.#known.has(hash)) {
      this.#known.add(hash)
      this.#unsent.set(`tracelet.key.${hash}`, fitText(JSON.stringify([name, context]), MAX_TAG_CHARS))
      this.#onMapped(name, key)
    }
    return key
  }

  /** Tags that MLflow does not hold yet. */
  unsent(): Entry[] {
    return this.#unsent.size === 0
      ? []
      : [...this.#unsent].map(([key, value], index) => ({ index, key, value }))
  }

  remembered(tags: readonly Entry[]): void {
    for (const { key } of tags) this.#unsent.delete(key)
  }
}
