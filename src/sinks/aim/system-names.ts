/**
 * The machine's series under the names of Aim's own client (aim/ext/resource/stat.py). Its UI keeps apart all that begins
 * with `__system__`, and has titles and units for the eight that its client writes:
 *
 *   system/cpu                              __system__cpu
 *   system/memory                           __system__memory_percent
 *   system/proc.memory.percent              __system__p_memory_percent
 *   system/disk./.usagePercent              __system__disk_percent
 *   system/gpu.0.gpu                        __system__gpu                 context gpu=0
 *   system/gpu.0.memoryAllocated            __system__gpu_memory_percent  context gpu=0
 *   system/gpu.0.temp                       __system__gpu_temp            context gpu=0
 *   system/gpu.0.powerWatts                 __system__gpu_power_watts     context gpu=0
 *   system/anything                         __system__anything
 *
 * The names on the left are those of W&B's system metrics, which programs have most often.
 */
const SYSTEM = 'system/'
const AIM_SYSTEM = '__system__'

const NAMES = new Map([
  ['memory', 'memory_percent'],
  ['proc.memory.percent', 'p_memory_percent'],
  ['disk./.usagePercent', 'disk_percent'],
])
/** What is logged under one of these must not meet what is mapped to it. */
const TAKEN = new Set(NAMES.values())
const GPU_NAMES = new Map([
  ['gpu', 'gpu'],
  ['memoryAllocated', 'gpu_memory_percent'],
  ['temp', 'gpu_temp'],
  ['powerWatts', 'gpu_power_watts'],
])

export interface NamedSeries {
  readonly name: string
  readonly context: string
}

/** A series with a context of its own keeps it, behind the number of the GPU. */
export function systemSeries({ name, context }: NamedSeries): NamedSeries {
  if (!name.startsWith(SYSTEM) || name.length === SYSTEM.length) return { name, context }
  const own = name.slice(SYSTEM.length)
  const [, gpu, what] = /^gpu\.(\d+)\.(\w+)$/.exec(own) ?? []
  const ofGpu = what === undefined ? undefined : GPU_NAMES.get(what)
  if (ofGpu === undefined) {
    return { name: AIM_SYSTEM + (NAMES.get(own) ?? (TAKEN.has(own) ? `${own}_` : own)), context }
  }
  // one that is no list of members is what Aim calls the subset
  const rest = context === '' ? '' : context.includes('=') ? `, ${context}` : `, subset=${context}`
  return { name: AIM_SYSTEM + ofGpu, context: `gpu=${gpu}${rest}` }
}
