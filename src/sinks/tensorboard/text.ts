/** The messages of TensorBoard's Text plugin. */

import { messageField, stringField, varintField } from '../protobuf.ts'
import { DATA_CLASS_TENSOR, DT_STRING, pluginMetadata, shapeField } from './messages.ts'

/** A table: a string tensor of two dimensions, which the Text tab shows row by row. All rows are equally long. */
export function textTable(tag: string, rows: readonly (readonly string[])[]): Uint8Array {
  return textValue(tag, [rows.length, rows[0]?.length ?? 0], rows.flat())
}

/** One text, shown as Markdown. */
export function textLine(tag: string, text: string): Uint8Array {
  return textValue(tag, [], [text])
}

function textValue(tag: string, shape: readonly number[], texts: readonly string[]): Uint8Array {
  const strings = texts.map((text) => stringField(8, text))
  const tensor = messageField(8, varintField(1, DT_STRING), shapeField(shape), ...strings)
  return Buffer.concat([stringField(1, tag), tensor, pluginMetadata('text', DATA_CLASS_TENSOR)])
}
