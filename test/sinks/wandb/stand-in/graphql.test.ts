import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { execute, InvalidQuery, parseQuery, readGraphql } from './graphql.ts'

const ROOT = {
  __typename: 'Query',
  run: ({ name, first }: Record<string, unknown>) => ({
    __typename: 'Run',
    name,
    first,
    tags: ['a'],
    config: { b: 1 },
  }),
  runs: [{ __typename: 'Run', name: 'x' }, null],
  echo: (args: Record<string, unknown>) => args,
  none: null,
}
const answer = (query: string, variables = {}) => execute(parseQuery(query), ROOT, variables)

describe('the GraphQL of the stand-in', () => {
  it('answers under the alias, through fragments, inline or named, and with arguments and defaults', () => {
    const query = `#graphql
      fragment Named on Run { label: name ...on Run { tags } }
      query Which($name: String!, $first: Int = 50, $list: [String!]! = ["d"]) {
        result: run(name: $name, first: $first) { __typename ...Named config first }
        other: run(name: "lit\\"eral") { name }
        runs { name } none { anything }
      }`
    assert.deepEqual(answer(query, { name: 'n' }), {
      result: { __typename: 'Run', label: 'n', tags: ['a'], config: { b: 1 }, first: 50 },
      other: { name: 'lit"eral' },
      runs: [{ name: 'x' }, null],
      none: null,
    })
  })

  it('reads every kind of argument, and a variable that is not given as null', () => {
    assert.deepEqual(
      answer(
        'query ($v: Int) { echo(a: {b: $v, c: [1, -2.5e3, $v]}, t: true, n: null, e: NEWEST, s: "\\u00fc") }',
        {
          v: 7,
        },
      ),
      { echo: { a: { b: 7, c: [1, -2500, 7] }, t: true, n: null, e: 'NEWEST', s: 'ü' } },
    )
    assert.deepEqual(answer('query ($v: Int) { echo(a: $v) }'), { echo: { a: null } })
  })

  it('leaves out what @include and @skip leave out', () => {
    const query =
      'query ($on: Boolean = false) { run(name: "r") { name @include(if: $on) first @skip(if: $on) } }'
    assert.deepEqual(answer(query, { on: true }), { run: { name: 'r' } })
    assert.deepEqual(answer(query), { run: { first: null } })
  })

  it('says which field there is not, which fragment, and where a query cannot be read', () => {
    assert.throws(() => answer('{ run(name: "r") { color } }'), /Cannot query field "color" on type "Run"/)
    assert.throws(() => answer('{ color }'), /Cannot query field "color" on type "Query"/)
    assert.throws(() => answer('{ run { ...Lost } }'), /Unknown fragment "Lost"/)
    for (const query of ['', 'query {', '{ run(name "r") }', '{ run% }', 'subscription { run }']) {
      assert.throws(() => answer(query), InvalidQuery, query)
    }
    assert.match(readGraphql('{"query":"{"}').error, /unexpected end/)
    assert.equal(readGraphql('no JSON').operation, undefined)
  })
})
