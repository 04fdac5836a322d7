/** What the user is told once of each topic. */
export class Notices {
  readonly #told = new Set<string>()
  readonly #notice: (code: string, message: string) => void

  constructor(notice: (code: string, message: string) => void) {
    this.#notice = notice
  }

  readonly tell = (topic: string, message: string): void => {
    if (this.#told.has(topic)) return
    this.#told.add(topic)
    this.#notice('ERR_MAPPED', message)
  }
}

const MAX_SHOWN_CHARS = 100

/** A name as a message can hold it. */
export function shown(name: string): string {
  return name.length > MAX_SHOWN_CHARS ? `${name.slice(0, MAX_SHOWN_CHARS)}…` : name
}
