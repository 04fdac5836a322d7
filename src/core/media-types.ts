/** Media types that records are told apart by. */

/** Plotly's JSON, `{ data, layout }`: its own name for it. */
export const PLOTLY_TYPE = 'application/vnd.plotly.v1+json'
/** The files of an artifact, one JSON array of `StoredFile`. */
export const FILE_LIST_TYPE = 'application/vnd.tracelet.files+json'
