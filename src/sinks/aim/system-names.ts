/**
 * The machine's series under the names of Aim's own client (aim/ext/resource/stat.py), which the UI keeps apart from the
 * user's by their first letters.
 */
const SYSTEM = 'system/'
const AIM_SYSTEM = '__system__'

export function systemName(name: string): string {
  return name.startsWith(SYSTEM) && name.length > SYSTEM.length
    ? AIM_SYSTEM + name.slice(SYSTEM.length)
    : name
}
