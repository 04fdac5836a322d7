import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { histogramPage, prCurvePage } from '../../../../src/sinks/mlflow/uploads/charts.ts'
import { figurePage } from '../../../../src/sinks/mlflow/uploads/figure-page.ts'

interface Figure {
  readonly data: readonly Readonly<Record<string, unknown>>[]
  readonly layout: { readonly meta: object }
}
const numbers = (...values: number[]) => Float64Array.from(values)
const PLACE = { name: 'a<b>', step: 7, time: 1 }

/** As a browser finds the figure in a page. */
function figureIn(page: string): Figure {
  const [, json] = /<script type="application\/json" id="tracelet-figure">(.*?)<\/script>/s.exec(page)!
  return JSON.parse(json!) as Figure
}

describe('figures as pages', () => {
  it('hold a histogram as bars, with its numbers unchanged', () => {
    const [edges, counts] = [numbers(-1, 0, 0.1, 4), numbers(3, 0, 1e9)]
    const page = histogramPage({ kind: 'histogram', ...PLACE, edges, counts, sum: 2.5 })
    const { data, layout } = figureIn(page)
    assert.deepEqual(data[0]!.x, [-0.5, 0.05, 2.05])
    assert.deepEqual(data[0]!.y, [3, 0, 1e9])
    assert.deepEqual(data[0]!.width, [1, 0.1, 3.9])
    assert.deepEqual(layout.meta, { edges: [-1, 0, 0.1, 4], counts: [3, 0, 1e9], sum: 2.5 })
    assert.equal(page.match(/<rect /g)!.length, 3)
    assert.doesNotMatch(page, /a<b>/)
  })

  it('draw a histogram of nothing and of one value', () => {
    for (const [edges, counts] of [
      [numbers(), numbers()],
      [numbers(1, 1), numbers(0)],
    ] as const) {
      assert.doesNotMatch(histogramPage({ kind: 'histogram', ...PLACE, edges, counts }), /NaN|Infinity/)
    }
  })

  it('hold precision over recall, also where nothing was taken', () => {
    const page = prCurvePage({
      ...{ kind: 'prCurve', ...PLACE, truePositives: numbers(4, 3, 0), falsePositives: numbers(4, 1, 0) },
      ...{ trueNegatives: numbers(0, 3, 4), falseNegatives: numbers(0, 1, 4) },
    })
    const [curve] = figureIn(page).data
    assert.deepEqual(curve!.x, [1, 0.75, 0])
    assert.deepEqual(curve!.y, [0.5, 0.75, 1])
    assert.deepEqual(curve!.text, ['threshold 0.000', 'threshold 0.500', 'threshold 1.000'])
  })

  it('let no text of a figure end the element it stands in', () => {
    const figure = { data: [{ text: '</script><script>alert(1)</script><!--' }], layout: {} }
    const page = figurePage('</title><b>', JSON.stringify(figure))
    assert.deepEqual(figureIn(page), figure)
    assert.doesNotMatch(page, /alert\(1\)<\/script>|<b>/)
  })
})
