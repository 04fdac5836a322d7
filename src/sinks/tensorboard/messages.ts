/** What the messages of all plugins are made of. */
import { messageField, stringField, varintField } from '../protobuf.ts'

export const DT_FLOAT = 1
export const DT_DOUBLE = 2
export const DT_STRING = 7
export const DATA_CLASS_TENSOR = 2
export const DATA_CLASS_BLOB_SEQUENCE = 3

/** Field `metadata` of a Summary.Value: which plugin shows it, and the plugin's own data if it has any. */
export function pluginMetadata(plugin: string, dataClass: number, data?: Uint8Array): Uint8Array {
  const content = data === undefined ? [] : [messageField(2, data)]
  return messageField(9, messageField(1, stringField(1, plugin), ...content), varintField(4, dataClass))
}

/** Field `tensor_shape` of a TensorProto. */
export function shapeField(shape: readonly number[]): Uint8Array {
  return messageField(2, ...shape.map((size) => messageField(2, varintField(1, size))))
}

/** Field `tensor` of a Summary.Value: numbers as they lie in memory, little-endian. */
export function tensorField(
  type: number,
  shape: readonly number[],
  values: Float32Array | Float64Array,
): Uint8Array {
  const content = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return messageField(8, varintField(1, type), shapeField(shape), messageField(4, content))
}
