/** Which hosts of W&B belong together: those of the API, and those that people look at. */

export const DEFAULT_BASE_URL = 'https://api.wandb.ai'

/** One deployment under two names: SDKs up to 0.30 write the first into the netrc file, later ones the second. */
const CLOUD_HOSTS: readonly (readonly [api: string, forge: string])[] = [
  ['api.wandb.ai', 'forge.coreweave.com'],
  ['api.qa.wandb.ai', 'qa.forge.coreweave.com'],
]

/** What is wrong with an address that cannot be that of an API; undefined when it may be one. */
export function hostTrouble(url: URL): string | undefined {
  const { hostname, protocol } = url
  if (/(?:^|\.)wandb\.ai$/.test(hostname)) {
    if (!/(?:^|\.)api\./.test(hostname)) return `people look there, programs write to ${DEFAULT_BASE_URL}`
    if (protocol !== 'https:') return `the key would be readable on its way; use ${DEFAULT_BASE_URL}`
  }
  const forge = CLOUD_HOSTS.find((pair) => pair[1] === hostname)?.[1]
  if (forge && !url.pathname.startsWith('/api/wandb'))
    return `people look there, programs write to https://api.${forge}`
  return undefined
}

/** Hosts, with their ports, under which the netrc file may hold the key for a server. */
export function netrcHosts(baseUrl: string): readonly string[] {
  const { host, hostname } = new URL(baseUrl)
  const pair = CLOUD_HOSTS.find(([api, forge]) => [api, forge, `api.${forge}`].includes(hostname))
  if (pair === undefined) return [host]
  const [api, forge] = pair
  return [...new Set([host, api, `api.${forge}`, forge])]
}

/**
 * Where people look at what an API's server holds, without a slash at its end.
 * @param given says so in place of the rule
 */
export function appUrlOf(options: {
  readonly baseUrl: string
  readonly appUrl?: string | undefined
}): string {
  if (options.appUrl) return options.appUrl.replace(/\/+$/, '')
  const url = new URL(options.baseUrl)
  const forge = CLOUD_HOSTS.find((pair) => [pair[1], `api.${pair[1]}`].includes(url.hostname))?.[1]
  if (forge) return `https://${forge}/wandb`
  if (url.hostname.startsWith('api.wandb.')) url.hostname = url.hostname.slice('api.'.length)
  else if (url.hostname.startsWith('api.')) url.hostname = `app.${url.hostname.slice('api.'.length)}`
  return url.href.replace(/\/+$/, '')
}

/** The page of a run. */
export function runUrlOf(
  options: { readonly baseUrl: string; readonly appUrl?: string | undefined },
  remote: { readonly entity: string; readonly project: string; readonly run: string },
): string {
  const [entity, project, run] = [remote.entity, remote.project, remote.run].map(encodeURIComponent)
  return `${appUrlOf(options)}/${entity}/${project}/runs/${run}`
}
