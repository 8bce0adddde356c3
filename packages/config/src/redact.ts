/** Takes out of a text what nobody should read. */

const hidden = '***';

/**
 * The URL without its password, and without query parameters that look like secrets. Never throws. Up to the last `@`
 * everything counts as password, since people forget to escape theirs: rather too much is hidden than too little.
 */
export function redactUrl(url: string): string {
  return url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^/?#:@]*):.*@/is, `$1:${hidden}@`)
    .replace(/([?&][^=&#]*(?:pass|pwd|secret|token|key)[^=&#]*=)[^&#]*/gi, `$1${hidden}`);
}

/** Stands in for a secret; says only that there is one. */
export const redactedSecret = hidden;
