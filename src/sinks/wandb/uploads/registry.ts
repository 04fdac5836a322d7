/**
 * Versions in a registry: a link to the artifact in a collection of the project `wandb-registry-<registry>`, which
 * belongs to the organization's entity. The same link again changes nothing.
 */
import type { Refusal } from '../../http.ts'
import { ask } from './artifact-calls.ts'
import { collectionName } from './artifact-plan.ts'
import type { Organizations } from './organizations.ts'

export const REGISTRY_PREFIX = 'wandb-registry-'
const DEFAULT_REGISTRY = 'model'

const LINK_ARTIFACT = `mutation LinkArtifact($input: LinkArtifactInput!) {
  result: linkArtifact(input: $input) { versionIndex }
}`

/** `name`, `registry/name` or `wandb-registry-registry/name`. */
export function registryPath(register: string): { readonly project: string; readonly collection: string } {
  const slash = register.indexOf('/')
  const registry = slash > 0 ? register.slice(0, slash) : DEFAULT_REGISTRY
  const project = registry.startsWith(REGISTRY_PREFIX) ? registry : REGISTRY_PREFIX + registry
  return { project, collection: collectionName(slash > 0 ? register.slice(slash + 1) : register) }
}

/** @returns undefined when the version is there */
export async function register(
  organizations: Organizations,
  name: string,
  artifact: string,
  aliases: readonly string[],
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const { project, collection } = registryPath(name)
  const refused = (refusal: Refusal): Refusal =>
    refusal.status === 'split'
      ? { ...refusal, reason: `not registered as '${project}/${collection}': ${refusal.reason}` }
      : refusal
  const org = await organizations.entity(undefined, signal)
  if ('status' in org) return refused(org)
  const input = {
    artifactID: artifact,
    artifactPortfolioName: collection,
    entityName: org.found,
    projectName: project,
    aliases: aliases.map((alias) => ({ artifactCollectionName: collection, alias })),
  }
  const read = (data: { readonly result: object | null }) => data.result
  const answer = await ask(organizations.parts, 'LinkArtifact', LINK_ARTIFACT, { input }, read, signal, true)
  return 'status' in answer ? refused(answer) : undefined
}
