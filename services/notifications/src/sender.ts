/** The sender of mails, as a setting spells it. */
import { mailAddressProblem } from '@caudal/contract/mail-address.ts';

export interface Sender {
  /** Empty if there is none. */
  name: string;
  address: string;
}

/** `Shop <orders@shop.example>`, or the address alone. Throws an Error that says what is wrong. */
export function parseSender(text: string): Sender {
  const [, name, inBrackets] = /^([^<>\r\n]*)<([^<>]*)>\s*$/.exec(text) ?? [];
  const address = (inBrackets ?? text).trim();
  const problem = mailAddressProblem(address, { hosts: true });
  if (problem) throw new Error(`"${address}" ${problem}`);
  return { name: (name ?? '').trim().replace(/^"(.*)"$/, '$1'), address };
}
