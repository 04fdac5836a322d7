/** The messages of TensorBoard's Text plugin. */
import { messageField, stringField, varintField } from './protobuf.ts'

const DATA_CLASS_TENSOR = 2
const DT_STRING = 7

/** A table: a string tensor of two dimensions, which the Text tab shows row by row. All rows are equally long. */
export function textTable(tag: string, rows: readonly (readonly string[])[]): Uint8Array {
  return textValue(tag, [rows.length, rows[0]?.length ?? 0], rows.flat())
}

/** One text, shown as Markdown. */
export function textLine(tag: string, text: string): Uint8Array {
  return textValue(tag, [], [text])
}

function textValue(tag: string, shape: readonly number[], texts: readonly string[]): Uint8Array {
  const dimensions = shape.map((size) => messageField(2, varintField(1, size)))
  const tensor = messageField(
    8,
    varintField(1, DT_STRING),
    messageField(2, ...dimensions),
    ...texts.map((text) => stringField(8, text)),
  )
  const metadata = messageField(9, messageField(1, stringField(1, 'text')), varintField(4, DATA_CLASS_TENSOR))
  return Buffer.concat([stringField(1, tag), tensor, metadata])
}
