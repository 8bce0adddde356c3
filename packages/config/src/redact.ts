/** Removes secrets from texts. */

const hidden = '***';

/**
 * The URL without its password, and without query parameters that look like secrets. Never throws. All text up to the
 * last `@` counts as password, since people forget to escape theirs. So it hides too much rather than too little.
 */
export function redactUrl(url: string): string {
  return url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^/?#:@]*):.*@/is, `$1:${hidden}@`)
    .replace(/([?&][^=&#]*(?:pass|pwd|secret|token|key)[^=&#]*=)[^&#]*/gi, `$1${hidden}`);
}

/** Replaces a secret: it shows only that there is one. */
export const redactedSecret = hidden;
