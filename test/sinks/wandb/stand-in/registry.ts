/** Links of versions into collections of other projects, foremost those of an organization's registries. */
import {
  artifactsOfProject,
  collections,
  type FieldsBackend,
  membershipOf,
  projectInfo,
} from './artifact-fields.ts'
import type { Arguments, Artifacts } from './artifact-mutations.ts'
import { connection, filtered } from './connection.ts'
import type { Answering } from './graphql.ts'

export interface RegistryBackend extends FieldsBackend {
  readonly organization: { readonly name: string; readonly entity: string }
  /** By the registry's name, the types that it takes; none named: all. */
  readonly registries: Readonly<Record<string, readonly string[]>>
}
interface LinkInput {
  readonly artifactID?: string | null
  readonly clientID?: string | null
  readonly artifactPortfolioName: string
  readonly entityName: string
  readonly projectName: string
  readonly aliases?:
    | readonly { readonly alias: string; readonly artifactCollectionName?: string | null }[]
    | null
}

const PREFIX = 'wandb-registry-'
/** Where each entity had its models before; asked for, the registry of models answers now. */
const LEGACY = 'model-registry'
/** The server's, for collections. */
const NAME = /^[a-zA-Z0-9_.-]{1,128}$/

export class Registries {
  readonly #backend: RegistryBackend
  readonly #artifacts: Artifacts

  constructor(backend: RegistryBackend, artifacts: Artifacts) {
    this.#backend = backend
    this.#artifacts = artifacts
  }

  /** Once more of the same version: its aliases are given, and nothing else happens. */
  link(input: Arguments): Answering {
    const asked = input as unknown as LinkInput
    const { store, organization } = this.#backend
    const id = asked.artifactID ?? store.byClientId(String(asked.clientID))?.id
    const artifact = this.#artifacts.find(id)
    const refuse = (text: string): never => this.#artifacts.refuse(artifact, `link: ${text}`)
    const isLegacy = asked.projectName === LEGACY
    const entity = isLegacy ? organization.entity : asked.entityName
    const project = isLegacy ? `${PREFIX}model` : asked.projectName
    const { artifactPortfolioName: name } = asked
    const { type } = artifact.collection
    if (artifact.state !== 'COMMITTED') refuse('it is not committed')
    if (!NAME.test(name)) refuse(`a collection named ${name}`)
    const types = this.#typesOf(project)
    if (types !== undefined && entity !== organization.entity) refuse(`${entity} is no organization's entity`)
    const isThere = types !== undefined || this.#backend.hasProject(entity, project)
    if (!isThere) refuse(`no project ${entity}/${project}`)
    if (types?.length && !types.includes(type)) refuse(`${project} takes no ${type}`)
    const aliases = (asked.aliases ?? []).map(({ alias, artifactCollectionName }) => {
      if (artifactCollectionName != null && artifactCollectionName !== name)
        refuse(`an alias of another collection`)
      if (/^v\d+$/.test(alias) || /[/:]/.test(alias) || alias === '') refuse(`alias ${alias}`)
      return alias
    })
    const path = { entity, project, name }
    let portfolio = store.collection(path)
    if (portfolio?.kind === 'sequence') refuse(`${name} is no portfolio`)
    if (portfolio !== undefined && portfolio.type !== type) refuse(`${name} is of the type ${portfolio.type}`)
    portfolio ??= store.makeCollection(path, type, 'portfolio')
    let membership = portfolio.memberships.find((one) => one.artifact === artifact)
    if (membership !== undefined) portfolio.alias(membership, aliases)
    membership ??= portfolio.add(store.nextId('ArtifactMembership'), artifact, aliases)
    return {
      __typename: 'LinkArtifactPayload',
      versionIndex: membership.versionIndex,
      artifactMembership: membershipOf(this.#backend, membership),
    }
  }

  /** @param name the organization's, or its entity's */
  organization(name: unknown): Answering | undefined {
    const { organization } = this.#backend
    const isIt = name === organization.name || name === organization.entity
    return isIt ? this.organizationOf() : undefined
  }

  organizationOf(): Answering {
    const { organization } = this.#backend
    return {
      __typename: 'Organization',
      id: 'T3JnYW5pemF0aW9uOjE=',
      name: organization.name,
      coreWeaveOrganizationId: null,
      advancedRegistryFeatures: { __typename: 'AdvancedRegistryFeatures', advancedSearch: false },
      featureFlags: () => [],
      orgEntity: () => this.#orgEntity(),
    }
  }

  /** Of the organization's entity a registry, where it has one. */
  registry(entity: unknown, project: unknown): Answering | undefined {
    if (project === LEGACY) return this.#registryOf(`${PREFIX}model`)
    const isThere =
      entity === this.#backend.organization.entity && this.#typesOf(String(project)) !== undefined
    return isThere ? this.#registryOf(String(project)) : undefined
  }

  #orgEntity(): Answering {
    const { name, entity } = this.#backend.organization
    return {
      __typename: 'Entity',
      id: 'RW50aXR5OjI=',
      name: entity,
      entityType: 'ORGANIZATION',
      organization: { __typename: 'Organization', name },
      projects: (args: Arguments) =>
        connection(this.#registries(args.filters), args, (project) => this.#registryOf(project)),
      artifactCollections: (args: Arguments) =>
        collections(this.#backend, this.#portfolios(args.projectFilters), args),
      artifactMemberships: (args: Arguments) => {
        const portfolios = filtered(this.#portfolios(args.projectFilters), args.collectionFilters, (one) => ({
          id: one.id,
          name: one.name,
        }))
        const all = portfolios.flatMap(({ memberships }) => memberships)
        const found = filtered(all, args.filters, ({ artifact, aliases, versionIndex }) => ({
          id: artifact.id,
          version: `v${versionIndex}`,
          alias: [...aliases],
        }))
        return connection(found, args, (one) => membershipOf(this.#backend, one))
      },
    }
  }

  #registryOf(project: string): Answering {
    const { organization } = this.#backend
    const types = this.#typesOf(project) ?? []
    return {
      ...projectInfo(this.#backend, organization.entity, project),
      ...artifactsOfProject(this.#backend, organization.entity, project),
      entityName: organization.entity,
      entity: () => this.#orgEntity(),
      readOnly: false,
      description: null,
      createdAt: new Date(0).toISOString(),
      updatedAt: new Date(0).toISOString(),
      access: 'PRIVATE',
      allowAllArtifactTypesInRegistry: types.length === 0,
      artifactTypes: (args: Arguments) =>
        connection(types, args, (name) => ({ __typename: 'ArtifactType', name })),
    }
  }

  /** Undefined of a project that is no registry. */
  #typesOf(project: string): readonly string[] | undefined {
    return project.startsWith(PREFIX) ? this.#backend.registries[project.slice(PREFIX.length)] : undefined
  }

  #registries(filters: unknown): readonly string[] {
    const all = Object.keys(this.#backend.registries).map((name) => PREFIX + name)
    const { entity } = this.#backend.organization
    return filtered(all, filters, (name) => ({ name, id: this.#backend.projectNumber(entity, name) }))
  }

  #portfolios(projectFilters: unknown) {
    const { store, organization } = this.#backend
    return this.#registries(projectFilters).flatMap((project) => store.of(organization.entity, project))
  }
}
