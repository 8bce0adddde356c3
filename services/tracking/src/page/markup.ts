/** HTML of texts that may be anything: a template escapes all that is put into it, but for what a template has made. */

/** What a template has made. Nothing else is markup. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Content = string | number | Markup | undefined | readonly Content[];

const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/**
 * The text as the content of an element or of a quoted attribute. Control characters, which HTML has no form for, and halves of
 * characters become U+FFFD.
 */
const escaped = (text: string): string =>
  text
    .toWellFormed()
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"']/g, (sign) => names[sign]!);

function written(content: Content): string {
  if (content instanceof Markup) return content.text;
  if (typeof content === 'string') return escaped(content);
  if (typeof content === 'number') return String(content);
  return content === undefined ? '' : content.map(written).join('');
}

/** A tag for templates. Put values between tags, or into attributes with quotes around them, and nowhere else. */
export function html(parts: TemplateStringsArray, ...values: Content[]): Markup {
  return new Markup(parts.map((part, n) => part + (n < values.length ? written(values[n]) : '')).join(''));
}

/** A text of others, in whatever direction its script runs: it does not change the order of what stands around it. */
export const foreign = (text: string): Markup => html`<bdi>${text}</bdi>`;
