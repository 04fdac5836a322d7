/** Lines as they stand in the body of a stream's request: JSON text within a JSON string, all of it ASCII. */

/** JSON in ASCII only: as many bytes as characters. */
export function asciiJson(value: unknown): string {
  return inAscii(JSON.stringify(value))
}

/** What a text is between the quotes of a JSON string. */
export function escaped(text: string): string {
  return inAscii(JSON.stringify(text).slice(1, -1))
}

function inAscii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
