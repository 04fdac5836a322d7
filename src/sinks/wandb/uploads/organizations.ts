/** The organizations of an entity: registries are theirs, not the entity's. Asked once for a run. */
import type { Refusal } from '../../http.ts'
import { type ArtifactCallParts, ask } from './artifact-calls.ts'

const FETCH_ORGS = `query FetchOrgInfoFromEntity($entity: String!) {
  entity(name: $entity) {
    organization { name orgEntity { name } }
    user { organizations { name orgEntity { name } } }
  }
}`

interface Organization {
  readonly name: string
  readonly orgEntity: { readonly name: string } | null
}
interface EntityData {
  readonly entity: {
    readonly organization: Organization | null
    readonly user: { readonly organizations: readonly Organization[] | null } | null
  } | null
}

export class Organizations {
  readonly parts: ArtifactCallParts
  #known: readonly Organization[] | undefined

  constructor(parts: ArtifactCallParts) {
    this.parts = parts
  }

  /**
   * The entity whose projects are the registries.
   * @param given name of the organization or of its entity; undefined for the only one there is
   */
  async entity(
    given: string | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly found: string } | Refusal> {
    const known = await this.#ask(signal)
    if ('status' in known) return known
    const { entity } = this.parts.remote
    const orgs = known.found.filter(
      ({ name, orgEntity }) =>
        orgEntity && (given === undefined || given === name || given === orgEntity.name),
    )
    if (orgs.length === 1) return { found: orgs[0]!.orgEntity!.name }
    const reason =
      orgs.length > 1
        ? `'${entity}' belongs to several organizations (${orgs.map(({ name }) => name).join(', ')}): log to a team of the one whose registry it is`
        : `'${entity}' belongs to no organization${given === undefined ? '' : ` '${given}'`}, and registries are those of organizations: log to a team of one`
    return { status: 'split', code: 'ERR_REFUSED', reason }
  }

  async #ask(signal: AbortSignal): Promise<{ readonly found: readonly Organization[] } | Refusal> {
    if (this.#known !== undefined) return { found: this.#known }
    const read = ({ entity }: EntityData) => {
      // a team's own comes first, as in the SDK
      if (entity?.organization?.orgEntity) return [entity.organization]
      return entity?.user?.organizations ?? []
    }
    const { entity } = this.parts.remote
    const answer = await ask(
      this.parts,
      ...(['FetchOrgInfoFromEntity', FETCH_ORGS, { entity }, read, signal, true] as const),
    )
    if ('found' in answer) this.#known = answer.found
    return answer
  }
}
