/** Markup that is safe to put on the page: made only by `html`, which escapes everything that is put into it. */
export interface Html {
  readonly kind: 'html'
  readonly text: string
}

type Hole = Html | string | number | null | readonly Hole[]

/** Builds markup. Text of the template is ours; what goes in is escaped unless it is markup already. */
export function html(strings: TemplateStringsArray, ...holes: readonly Hole[]): Html {
  const texts = strings.map((text, i) => text + (i < holes.length ? holeText(holes[i] as Hole) : ''))
  return { kind: 'html', text: texts.join('') }
}

/** The same for our style sheet: another name, because a formatter takes what follows `html` for markup. */
export const sheet: typeof html = html

function holeText(hole: Hole): string {
  if (hole === null) return ''
  if (typeof hole === 'string') return escapeText(hole)
  if (typeof hole === 'number') return String(hole)
  if ('kind' in hole) return hole.text
  return hole.map(holeText).join('')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
}

const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/**
 * The one way by which text reaches the page, in content and in quoted attributes. Characters that cannot be seen or
 * that turn the direction of what follows (control, format, separators, halves of a pair) are shown as `\u202e`.
 */
function escapeText(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u00a0]/gu, character => escapes[character] ?? codeText(character))
    .replace(/[&<>"'`]/g, character => entities[character] as string)
}

function codeText(character: string): string {
  const code = (character.codePointAt(0) as number).toString(16)
  return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`
}
