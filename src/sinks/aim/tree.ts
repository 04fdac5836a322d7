/** What Aim's trees hold, as its storage tells values apart. */

/** A text or bytes that Aim keeps apart from the tree and reads only when it is looked at. */
export class AimBlob {
  readonly data: string | Uint8Array

  constructor(data: string | Uint8Array) {
    this.data = data
  }
}

/** An object of one of Aim's own types, such as `aim.text`. */
export class AimCustom {
  readonly type: string
  readonly members: Readonly<Record<string, AimTree>>

  constructor(type: string, members: Readonly<Record<string, AimTree>>) {
    this.type = type
    this.members = members
  }
}

/** A number is Aim's float, a bigint its int: a curve of ints is another kind of curve there. */
export type AimTree =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | AimBlob
  | AimCustom
  | readonly AimTree[]
  | { readonly [key: string]: AimTree }

/** A tree that was read: where keys are numbers, they are spelled in digits. */
export function isBranch(tree: AimTree | undefined): tree is { readonly [key: string]: AimTree } {
  return (
    typeof tree === 'object' &&
    tree !== null &&
    !Array.isArray(tree) &&
    !(tree instanceof Uint8Array || tree instanceof AimBlob || tree instanceof AimCustom)
  )
}
