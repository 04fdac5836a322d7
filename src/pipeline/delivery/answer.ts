/** A sink's answer as it came, or what is wrong with it: a throw and a broken answer are bugs, not answers. */
import { ERROR_CODES, type ErrorCode } from '../../core/errors.ts'
import type { WriteResult } from '../../core/types.ts'

export type Answer = WriteResult | { readonly status: 'bug'; readonly reason: string }

/** @param count of the items of which it may reject some by index */
export async function answerOf(count: number, write: () => Promise<WriteResult>): Promise<Answer> {
  try {
    const result = await write()
    const fault = faultOf(count, result)
    return fault === undefined ? result : { status: 'bug', reason: `it answered with ${fault}` }
  } catch (error) {
    return { status: 'bug', reason: `it threw: ${error instanceof Error ? error.message : String(error)}` }
  }
}

function faultOf(count: number, result: WriteResult): string | undefined {
  switch (result?.status) {
    case 'accepted':
    case 'retry':
    case 'split':
    case 'blocked':
      return undefined
    case 'partial': {
      const indexes = new Set(result.rejected.map(({ index }) => index))
      if (indexes.size < result.rejected.length) return 'an index rejected twice'
      for (const index of indexes) {
        if (!Number.isInteger(index) || index < 0 || index >= count)
          return `index ${index} rejected of ${count}`
      }
      return undefined
    }
    default:
      return 'no known status'
  }
}

/** Sinks name codes as text; one that is not in the table is the backend's own word. */
export function codeOf(code: string): ErrorCode {
  return Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'ERR_REFUSED'
}
