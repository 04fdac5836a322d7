/** Many small runs at rest under one root, each as a process that ended leaves it. */
import { fakeModule, RunFolder } from './run-folder.ts'

/** Of each run: points of its rows, params and the end of the run. */
export const POINTS_PER_RUN = 20
export const RECORDS_PER_RUN = 2

export function manyRuns(
  root: string,
  count: number,
  urls: { readonly identity?: string; readonly offset?: string; readonly append?: string },
  end: 'finished' | 'dead' = 'finished',
): string[] {
  const destinations = Object.entries(urls).map(([kind, url]) => ({
    name: kind,
    kind,
    module: fakeModule(kind as keyof typeof urls),
    options: kind === 'append' ? { folder: url } : { url },
  }))
  return Array.from({ length: count }, (_, index) => {
    const id = `run-${String(index).padStart(5, '0')}`
    const folder = new RunFolder(id, [...destinations, LOCAL], undefined, root)
    folder.record({ kind: 'params', params: { index } }).rows(index, POINTS_PER_RUN / 2)
    if (end === 'finished') folder.record({ kind: 'state', state: 'finished', time: 1_700_000_100_000 })
    folder.close()
    return folder.run.folder
  })
}

const LOCAL = { name: 'local', kind: 'local', options: {} }
