/**
 * Bounds of a FlatBuffers payload, looked at before anything in it is believed: JavaScript's FlatBuffers has no
 * verifier and would read beyond the payload, or loop over a length of four billion.
 *
 * All that is referred to may together be no larger than the payload: our builder shares nothing but vtables, and
 * a million references to one long text would become a million long texts.
 */

export type Field =
  /** A number or struct stored in the table, of so many bytes. */
  | number
  | 'text'
  /** Elements of `size` bytes whose data is aligned to `align`. */
  | { readonly vectorOf: number; readonly align: number }
  | { readonly table: Shape }
  | { readonly tables: Shape }
/** A table's fields in the order of the schema; fields beyond them belong to later versions. */
export type Shape = readonly Field[]

export function isIntact(bytes: Uint8Array, shape: Shape): boolean {
  if (bytes.length < 8) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return tableIntact(view, view.getUint32(0, true), shape, { bytes: bytes.length })
}

/** What may still be referred to. */
interface Budget {
  bytes: number
}

function tableIntact(view: DataView, table: number, shape: Shape, budget: Budget): boolean {
  const end = view.byteLength
  if (table % 4 !== 0 || table + 4 > end) return false
  const vtable = table - view.getInt32(table, true)
  if (vtable % 2 !== 0 || vtable < 0 || vtable + 4 > end) return false
  const vtableBytes = view.getUint16(vtable, true)
  const tableBytes = view.getUint16(vtable + 2, true)
  if (vtableBytes < 4 || vtableBytes % 2 !== 0 || vtable + vtableBytes > end) return false
  if (tableBytes < 4 || table + tableBytes > end || !spend(budget, tableBytes)) return false
  for (let index = 0; index < shape.length; index++) {
    const slot = 4 + index * 2
    if (slot + 2 > vtableBytes) break
    const offset = view.getUint16(vtable + slot, true)
    if (offset === 0) continue
    const field = shape[index]!
    if (offset < 4 || offset + (typeof field === 'number' ? field : 4) > tableBytes) return false
    if (typeof field !== 'number' && !referenceIntact(view, table + offset, field, budget)) return false
  }
  return true
}

function referenceIntact(view: DataView, at: number, field: Exclude<Field, number>, budget: Budget): boolean {
  const target = at + view.getUint32(at, true)
  if (target % 4 !== 0 || target + 4 > view.byteLength) return false
  if (typeof field === 'object' && 'table' in field) return tableIntact(view, target, field.table, budget)
  const length = view.getUint32(target, true)
  const elementBytes = field === 'text' ? 1 : 'tables' in field ? 4 : field.vectorOf
  const data = target + 4
  if (data + length * elementBytes > view.byteLength || !spend(budget, length * elementBytes)) return false
  if (field === 'text') return true
  if ('vectorOf' in field) return length === 0 || data % field.align === 0
  for (let i = 0; i < length; i++) {
    const element = data + i * 4
    if (!tableIntact(view, element + view.getUint32(element, true), field.tables, budget)) return false
  }
  return true
}

function spend(budget: Budget, bytes: number): boolean {
  budget.bytes -= bytes
  return budget.bytes >= 0
}
