/** Where the tests of `tracelet sync` begin: an empty root folder and the fake that keeps points by their identity. */
import type { TestContext } from 'node:test'
import { temporaryFolder } from '../../run/program.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'

export async function rootAndServer(
  context: TestContext,
): Promise<{ readonly root: string; readonly server: IdentityServer }> {
  const root = temporaryFolder(context)
  const server = await IdentityServer.start()
  context.after(() => server.stop())
  return { root, server }
}
