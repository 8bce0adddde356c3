/** Parses the origins of web pages in settings (RFC 6454). */
import { wordsOf } from '@caudal/config/setting.ts';

/**
 * The origins of CAUDAL_CORS_ORIGINS, as browsers send them: `https://shop.example`, with a port if it is not the
 * scheme's own. Throws an Error that says what is wrong with one of them.
 */
export function parseOrigins(text: string): string[] {
  return [...new Set(wordsOf(text).map(originOf))];
}

function originOf(text: string): string {
  if (text.includes('*') || text === 'null')
    throw new Error(`"${text}" would let more web pages call than it names: name each origin that may`);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new Error(`"${text}" is no origin: it begins with https:// or http://`);
  if (url.origin !== text)
    throw new Error(`"${text}" is no origin: an origin is scheme, host and port, as a browser sends it: ${url.origin}`);
  return text;
}
