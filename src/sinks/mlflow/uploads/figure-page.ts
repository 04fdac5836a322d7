/**
 * Figures as MLflow's page shows them: HTML that loads plotly.js from its own CDN, as `mlflow.log_figure` writes it
 * for Plotly figures (a `.json` it shows as text). What is drawn below it stays where the CDN cannot be reached.
 * The figure itself stands in the page as JSON, in the element `tracelet-figure`. Pure.
 */

/** The last version that reads figures of Plotly 4, 5 and 6 alike: 3 has no titles that are plain texts. */
const PLOTLY_URL = 'https://cdn.plot.ly/plotly-2.35.2.min.js'

/**
 * @param figureJson Plotly's JSON, `{ data, layout }`
 * @param drawn SVG shown until, or unless, plotly.js is there
 */
export function figurePage(title: string, figureJson: string, drawn = ''): string {
  // A closing tag within a text would end the element.
  const json = figureJson.replaceAll('<', '\\u003c')
  return `<!doctype html>
<html><head><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<style>html,body,#figure{height:100%;margin:0}#figure{font:14px sans-serif}</style></head>
<body><div id="figure">${drawn || `<p>${escapeHtml(title)}: loading plotly.js from cdn.plot.ly …</p>`}</div>
<script type="application/json" id="tracelet-figure">${json}</script>
<script src="${PLOTLY_URL}" charset="utf-8"></script>
<script>
if (window.Plotly) {
  const { data, layout } = JSON.parse(document.getElementById('tracelet-figure').textContent)
  const place = document.getElementById('figure')
  place.textContent = ''
  Plotly.newPlot(place, data, layout, { responsive: true })
}
</script></body></html>
`
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
