/** Which Python has Aim. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'

const ASK =
  "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('aim') and importlib.util.find_spec('uvicorn') else 3)"

/** @returns its path, or why there is none */
export async function findPython(given: string | undefined): Promise<string | { readonly missing: string }> {
  const environment = process.env.VIRTUAL_ENV
  const candidates =
    given === undefined
      ? [...(environment ? [join(environment, 'bin', 'python')] : []), 'python3', 'python']
      : [given]
  let isAny = false
  for (const candidate of candidates) {
    const code = await exitCode(candidate)
    if (code === 0) return candidate
    isAny ||= code !== undefined
  }
  const who = candidates.join(', ')
  return {
    missing:
      `a repository that is a folder is written to through Aim's own server, and ` +
      `${isAny ? `no \`aim\` is installed for ${who}` : `there is no Python (looked for ${who})`}: ` +
      "`pip install aim` there (Python 3.10 to 3.12), name a Python that has it by the option 'python', " +
      "or start `aim server` yourself and give its address as 'aim://host:port'",
  }
}

/** Undefined: there is no such program. */
function exitCode(python: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const child = spawn(python, ['-c', ASK], { stdio: 'ignore' })
    child.once('error', () => resolve(undefined))
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
