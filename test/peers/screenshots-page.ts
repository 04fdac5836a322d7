/** What stands on a page, shadow roots included, and a picture of it once it stands there for good. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser } from './screenshots-browser.ts'

export interface Expected {
  /** Stand on the page, in any order. */
  readonly texts: readonly string[]
  /**
   * Visible things, each found by a chain of selectors, every one inside of what the one before found:
   * `['vz-line-chart2', 'path']`. Pictures count once they are loaded.
   */
  readonly things: readonly (readonly string[])[]
  /** First typed into a field. */
  readonly search?: { readonly into: string; readonly text: string }
}

const TIMEOUT_MS = 60_000
const POLL_MS = 200
const STILL_MS = 400

export class NotShown extends Error {
  readonly picture: Uint8Array
  constructor(missing: readonly string[], picture: Uint8Array) {
    super(`does not show ${missing.join(', ')}`)
    this.picture = picture
  }
}

/** Runs in the page; answers with what is not there yet. */
const MISSING = `({ texts, things }) => {
  const roots = (node) => node.shadowRoot ? [node, node.shadowRoot] : [node]
  const within = (node, selector) => {
    const found = []
    for (const root of roots(node)) {
      found.push(...root.querySelectorAll(selector))
      for (const element of root.querySelectorAll('*')) if (element.shadowRoot) found.push(...within(element.shadowRoot, selector))
    }
    return found
  }
  const isShown = (element) => {
    const { width, height, top } = element.getBoundingClientRect()
    const isThere = (width > 0 || height > 0) && top < innerHeight
    return isThere && (element.tagName !== 'IMG' || (element.complete && element.naturalWidth > 0))
  }
  const texted = []
  const read = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return void texted.push(node.data)
    if (['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(node.tagName)) return
    if (node.shadowRoot) read(node.shadowRoot)
    for (const child of node.childNodes) read(child)
  }
  read(document.body)
  const whole = texted.join('').replace(/\\s+/g, ' ')
  const spaced = texted.join(' ').replace(/\\s+/g, ' ')
  return [
    ...texts.filter((text) => !whole.includes(text) && !spaced.includes(text)).map((text) => 'the text ' + JSON.stringify(text)),
    ...things.filter((chain) => {
      let found = [document.documentElement]
      for (const selector of chain) found = [...new Set(found.flatMap((element) => within(element, selector)))]
      return !found.some(isShown)
    }).map((chain) => chain.join(' > ')),
  ]
}`

/**
 * @param settings of the page's own, kept in the browser's local storage
 * @throws NotShown with what never came
 */
export async function picture(
  browser: Browser,
  url: string,
  expected: Expected,
  settings: Readonly<Record<string, string>> = {},
): Promise<Uint8Array> {
  const page = await browser.newPage()
  try {
    for (const [key, value] of Object.entries(settings)) {
      const item = `${JSON.stringify(key)}, ${JSON.stringify(value)}`
      await page.evaluateOnNewDocument(`try { localStorage.setItem(${item}) } catch {}`)
    }
    await page.goto(url, { waitUntil: 'load', timeout: TIMEOUT_MS })
    const deadline = Date.now() + TIMEOUT_MS
    const { search } = expected
    if (search) {
      await page.waitForSelector(search.into, { timeout: TIMEOUT_MS })
      await page.type(search.into, search.text)
    }
    for (;;) {
      const missing = (await page.evaluate(`(${MISSING})(${JSON.stringify(expected)})`)) as string[]
      if (missing.length === 0) break
      if (Date.now() > deadline) throw new NotShown(missing, await page.screenshot())
      await sleep(POLL_MS)
    }
    return await still(() => page.screenshot(), deadline)
  } finally {
    await page.close()
  }
}

/** Pages move while they draw: the first picture that the next one equals. */
async function still(take: () => Promise<Uint8Array>, deadline: number): Promise<Uint8Array> {
  let before = await take()
  for (;;) {
    await sleep(STILL_MS)
    const now = await take()
    if (Buffer.compare(before, now) === 0 || Date.now() > deadline) return now
    before = now
  }
}
