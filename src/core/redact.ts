/** Keeps secrets out of everything written or sent: applied before the journal, so that no later stage holds one. */

/**
 * Names whose text is a secret whatever it looks like: the word is a part of the name between `.` `_` `-` `/` or
 * spaces, or its camelCase end. Numbers and truths are never hidden, so `max_token: 512` stays.
 */
const SECRET_NAME =
  /(?:^|[._\-/ ])(?:api[_-]?keys?|access[_-]?keys?|secrets?|passw(?:or)?ds?|passphrase|credentials?|auth(?:orization)?|private[_-]?keys?|cookies?)(?:$|[._\-/ ])/i
const SECRET_NAME_TAIL =
  /(?:[aA]piKey|[aA]ccessKey|Secret|Password|Passwd|Credentials?|PrivateKey|_SECRET|_KEY)$/
/** `token` counts only where a part of a path ends in it: `token_dropout` and `tokens_per_second` are figures. */
const TOKEN_NAME = /(?:^|[._\-/ ])token(?:$|[./])|(?:[a-z]T|_T)oken$|_TOKEN$/i
/** What tokenizers call their special tokens: `pad_token: '<pad>'` is a hyperparameter. */
const VOCABULARY_TOKEN =
  /(?:^|[._\-/ ])(?:pad|bos|eos|unk|sep|cls|mask|start|end|stop|begin|special|image|video|audio|boi|eoi|eot|eod|new|next|first|last|prompt|suffix|prefix|middle|word|class|blank|decoder_start|forced_bos|forced_eos)[_\- ]?token(?:$|[./])/i

/** Shapes of well-known tokens; the rule's name stands in the replacement. */
const SECRET_SHAPES: readonly (readonly [rule: string, pattern: RegExp])[] = [
  ['private-key', /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g],
  ['aws-key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g],
  ['github-token', /\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b/g],
  ['gitlab-token', /\bglpat-[A-Za-z0-9_-]{20,}/g],
  ['hf-token', /\bhf_[A-Za-z0-9]{30,}\b/g],
  // words joined by hyphens, as in `sk-learn-gradient-boosting`, have no long stretch with a digit
  ['openai-key', /\bsk-(?=[\w-]*\d)(?=[\w-]*[A-Za-z0-9]{14})[\w-]{20,}/g],
  ['google-key', /\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])/g],
  ['wandb-key', /\bwandb_v\d+_[A-Za-z0-9_]{20,}\b/g],
  ['slack-token', /\bxox[abprs]-[A-Za-z0-9-]{10,}\b/g],
  ['jwt', /\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/g],
  ['bearer', /(?<=\bbearer\s+)[A-Za-z0-9._~+/-]{16,}=*/gi],
  // query parameters and command lines: `?access_token=…`, `--api-key=…`
  [
    'assignment',
    /(?<=(?:[?&]|--)(?:x-amz-)?(?:api[_-]?key|(?:access|auth|security)[_-]?token|token|secret(?:[_-]?(?:access[_-]?)?key)?|password|signature)=)[^&\s#'"]+/gi,
  ],
]
/** Up to the last `@` before the path: a password may hold one. */
const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]*:[^\s/]+@/gi

export function isSecretName(name: string): boolean {
  return (
    SECRET_NAME.test(name) ||
    SECRET_NAME_TAIL.test(name) ||
    (TOKEN_NAME.test(name) && !VOCABULARY_TOKEN.test(name))
  )
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
