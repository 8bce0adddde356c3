/** The setting of trusted proxies. */
import { wordsOf } from '@caudal/config/setting.ts';
import { trustedProxies } from '@caudal/rpc/server/address.ts';

/** The addresses and networks. Throws an Error that names what is neither. */
export function parseProxies(text: string): string[] {
  const words = [...new Set(wordsOf(text))];
  trustedProxies(words);
  return words;
}
