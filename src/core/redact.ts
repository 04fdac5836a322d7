/** Keeps secrets out of everything written or sent: applied before the journal, so that no later stage holds one. */

/** Names whose value is a secret whatever it looks like. */
const SECRET_NAME =
  /(?:^|[._\-/ ])(?:api[_-]?key|apikey|access[_-]?key|secret|token|passw(?:or)?d|passphrase|credentials?|auth(?:orization)?|private[_-]?key|cookie)(?:$|[._\-/ ])/i
/** camelCase and SCREAMING names end in one of these. */
const SECRET_NAME_TAIL =
  /(?:apiKey|accessKey|Secret|Token|Password|Passwd|Credentials?|PrivateKey|_TOKEN|_SECRET|_KEY)$/
/** Shapes of well-known tokens; the named group of each rule stands in the replacement. */
const SECRET_SHAPES: readonly (readonly [rule: string, pattern: RegExp])[] = [
  ['private-key', /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g],
  ['aws-key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g],
  ['github-token', /\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b/g],
  ['hf-token', /\bhf_[A-Za-z0-9]{30,}\b/g],
  ['openai-key', /\bsk-[A-Za-z0-9_-]{20,}\b/g],
  ['slack-token', /\bxox[abprs]-[A-Za-z0-9-]{10,}\b/g],
  ['jwt', /\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\b/g],
]
const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]*:[^\s/@]+@/gi

export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name) || SECRET_NAME_TAIL.test(name)
}

/** The text with every secret in it replaced by `[REDACTED:rule]`; the same text when there is none. */
export function redactText(text: string): string {
  let redacted = text.replace(URL_CREDENTIALS, '$1[REDACTED:url]@')
  for (const [rule, pattern] of SECRET_SHAPES) redacted = redacted.replace(pattern, `[REDACTED:${rule}]`)
  return redacted
}

/** The value under a name: hidden if the name says secret, else with the secrets inside it replaced. */
export function redact<Value>(name: string, value: Value): Value | string {
  if (typeof value !== 'string' || value === '') return value
  return isSecretName(name) ? '[REDACTED:name]' : redactText(value)
}
