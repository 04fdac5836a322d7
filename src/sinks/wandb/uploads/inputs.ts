/**
 * Artifacts that the run read: found by name, then used, which is the link between the two at W&B.
 *
 *   name                         in the run's project, alias `latest`
 *   name:alias                   an alias, or a version such as v3
 *   project/name:alias           of the run's entity
 *   entity/project/name:alias    a project `wandb-registry-…` is the organization's, which may be left out
 *
 * A name that W&B cannot have is looked for under that which an artifact of the run got for it.
 */
import type { RunRecord } from '../../../core/types.ts'
import type { Refusal } from '../../http.ts'
import { shown } from '../../notices.ts'
import { type ArtifactCallParts, ask } from './artifact-calls.ts'
import { collectionName } from './artifact-plan.ts'
import type { Organizations } from './organizations.ts'
import { REGISTRY_PREFIX } from './registry.ts'

type InputRecord = Extract<RunRecord, { kind: 'input' }>

export interface ArtifactPath {
  readonly entity?: string
  readonly project?: string
  readonly name: string
  readonly alias: string
}

const MEMBERSHIP_BY_NAME = `query ArtifactMembershipByName($entity: String!, $project: String!, $name: String!) {
  project(name: $project, entityName: $entity) {
    artifactCollectionMembership(name: $name) { artifact { id artifactType { name } } }
  }
}`
const USE_ARTIFACT = `mutation UseArtifact($entityName: String!, $projectName: String!, $runName: String!, $artifactID: ID!) {
  useArtifact(input: {entityName: $entityName, projectName: $projectName, runName: $runName, artifactID: $artifactID}) { artifact { id } }
}`
/** As an input of another project; servers that know it say so. */
const USE_ARTIFACT_OF = `mutation UseArtifact($entityName: String!, $projectName: String!, $runName: String!, $artifactID: ID!, $artifactEntityName: String, $artifactProjectName: String) {
  useArtifact(input: {entityName: $entityName, projectName: $projectName, runName: $runName, artifactID: $artifactID, artifactEntityName: $artifactEntityName, artifactProjectName: $artifactProjectName}) { artifact { id } }
}`
const USE_WITH_PROJECT = 'USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION'

/** @returns undefined when W&B knows that it was read */
export async function useArtifact(
  { artifact, type }: InputRecord,
  organizations: Organizations,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const { parts } = organizations
  let refusal: Refusal | undefined
  for (const path of pathsOf(artifact)) {
    const found = await find(path, organizations, signal)
    if (!('status' in found)) {
      if (type !== undefined && found.type !== undefined && found.type !== type) {
        const reason = `the artifact '${shown(artifact)}' is of the type '${found.type}', not '${type}'`
        return { status: 'split', code: 'ERR_REFUSED', reason }
      }
      return use(found, parts, signal)
    }
    if (found.status !== 'split') return found
    refusal ??= found
  }
  return { ...refusal!, reason: `the artifact '${shown(artifact)}' that the run read: ${refusal!.reason}` }
}

/** Where it may be, the likeliest first. */
export function pathsOf(text: string): readonly ArtifactPath[] {
  const colon = text.indexOf(':')
  const before = colon < 0 ? text : text.slice(0, colon)
  const alias = colon < 0 ? 'latest' : text.slice(colon + 1) || 'latest'
  const words = before.split('/')
  const paths: ArtifactPath[] = []
  if (words.length <= 3 && words.every((word) => word !== '')) {
    const [name, project, entity] = words.reverse() as [string, string?, string?]
    paths.push({ ...(entity && { entity }), ...(project && { project }), name, alias })
  }
  // a name that W&B cannot have may hold colons and slashes of its own
  const last = text.lastIndexOf(':')
  const wholes = [{ name: text, alias: 'latest' }]
  if (last >= 0) wholes.unshift({ name: text.slice(0, last), alias: text.slice(last + 1) || 'latest' })
  for (const whole of wholes) {
    const name = collectionName(whole.name)
    if (name !== whole.name) paths.push({ name, alias: whole.alias })
  }
  return paths
}

interface Found {
  readonly id: string
  readonly type: string | undefined
  readonly entity: string
  readonly project: string
}

async function find(
  { entity, project, name, alias }: ArtifactPath,
  organizations: Organizations,
  signal: AbortSignal,
): Promise<Found | Refusal> {
  const { remote } = organizations.parts
  const isRegistry = project?.startsWith(REGISTRY_PREFIX) && project !== REGISTRY_PREFIX
  const owner = isRegistry ? await organizations.entity(entity, signal) : { found: entity ?? remote.entity }
  if ('status' in owner) return owner
  const where = { entity: owner.found, project: project ?? remote.project, name: `${name}:${alias}` }
  const lack: Refusal = {
    status: 'split',
    code: 'ERR_REFUSED',
    reason: `W&B has no artifact '${shown(name)}' with the alias or version '${shown(alias)}' in ${where.entity}/${where.project}`,
  }
  interface Data {
    readonly project?: {
      readonly artifactCollectionMembership?: {
        readonly artifact: {
          readonly id: string
          readonly artifactType?: { readonly name: string } | null
        } | null
      } | null
    } | null
  }
  const read = (data: Data): Found | Refusal | undefined => {
    if (data.project === undefined) return undefined
    const artifact = data.project?.artifactCollectionMembership?.artifact
    if (!artifact) return lack
    return {
      id: artifact.id,
      type: artifact.artifactType?.name,
      entity: where.entity,
      project: where.project,
    }
  }
  const answer = await ask(
    organizations.parts,
    ...(['ArtifactMembershipByName', MEMBERSHIP_BY_NAME, where, read, signal, true] as const),
  )
  return 'found' in answer ? answer.found : answer
}

async function use(
  { id, entity, project }: Found,
  parts: ArtifactCallParts,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const { api, remote } = parts
  const isWithProject = await api.offers(USE_WITH_PROJECT, signal)
  const variables = {
    entityName: remote.entity,
    projectName: remote.project,
    runName: remote.run,
    artifactID: id,
    ...(isWithProject && { artifactEntityName: entity, artifactProjectName: project }),
  }
  const read = (data: { readonly useArtifact: object | null }) => data.useArtifact
  const query = isWithProject ? USE_ARTIFACT_OF : USE_ARTIFACT
  const answer = await ask(parts, 'UseArtifact', query, variables, read, signal, true)
  return 'status' in answer ? answer : undefined
}
