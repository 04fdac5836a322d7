/** Lists as GraphQL's clients page through them, with the filters that they have. */
import type { Answering } from './graphql.ts'

type Arguments = Readonly<Record<string, unknown>>
/** What a filter looks at, by the names that it has there. */
export type Facts = Readonly<Record<string, unknown>>

const DEFAULT_PAGE = 50

/** @param edge what stands beside the node and its cursor */
export function connection<Item>(
  items: readonly Item[],
  { after, first }: Arguments,
  node: (item: Item) => Answering,
  edge: (item: Item) => Answering = () => ({}),
): Answering {
  const from = after == null || after === '' ? 0 : Number(after) + 1
  const to = from + Number(first ?? DEFAULT_PAGE)
  const edges = items.slice(from, to).map((item, n) => ({
    __typename: 'Edge',
    ...edge(item),
    cursor: String(from + n),
    node: node(item),
  }))
  return {
    __typename: 'Connection',
    totalCount: items.length,
    edges,
    pageInfo: {
      __typename: 'PageInfo',
      endCursor: edges.at(-1)?.cursor ?? null,
      hasNextPage: to < items.length,
    },
  }
}

/** @param filters JSON in MongoDB's way, as W&B has it: null and '' let everything pass */
export function filtered<Item>(
  items: readonly Item[],
  filters: unknown,
  factsOf: (item: Item) => Facts,
): readonly Item[] {
  if (filters == null || filters === '') return items
  const filter = typeof filters === 'string' ? (JSON.parse(filters) as unknown) : filters
  return items.filter((item) => passes(filter, factsOf(item)))
}

function passes(filter: unknown, facts: Facts): boolean {
  return Object.entries(filter as Facts).every(([key, wanted]) => {
    if (key === '$and') return (wanted as unknown[]).every((inner) => passes(inner, facts))
    if (key === '$or') return (wanted as unknown[]).some((inner) => passes(inner, facts))
    if (key === '$not') return !passes(wanted, facts)
    const fact = facts[key]
    return Array.isArray(fact) ? fact.some((one) => matches(one, wanted)) : matches(fact, wanted)
  })
}

function matches(fact: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return fact === wanted
  return Object.entries(wanted).every(([operator, operand]) => {
    switch (operator) {
      case '$eq':
        return fact === operand
      case '$ne':
        return fact !== operand
      case '$in':
        return (operand as unknown[]).includes(fact)
      case '$nin':
        return !(operand as unknown[]).includes(fact)
      case '$regex':
      case '$contains':
        return new RegExp(String(operand)).test(String(fact))
      case '$gt':
        return (fact as number) > (operand as number)
      case '$gte':
        return (fact as number) >= (operand as number)
      case '$lt':
        return (fact as number) < (operand as number)
      case '$lte':
        return (fact as number) <= (operand as number)
      default:
        return false
    }
  })
}
