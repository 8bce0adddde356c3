/**
 * Mail addresses: `local@domain` of RFC 5321, with the characters outside ASCII that RFC 6531 adds. No quoted local parts,
 * no comments, no addresses of hosts in brackets. See docs/callers.md, Mail addresses.
 */
import { domainToASCII } from 'node:url';

/** RFC 5321, 4.5.3.1: of a path, which has two brackets more, 256. */
const maxBytes = 254;
const maxLocalBytes = 64;
const maxDomain = 253;

/** Of a local part: RFC 5321's, and outside ASCII all but blanks, controls, unpaired surrogates and private use. */
const atom = "(?:[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]|[^\\p{ASCII}\\p{Z}\\p{C}]|[\\u200c\\u200d])+";
const local = new RegExp(`^${atom}(?:\\.${atom})*$`, 'u');
const label = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const asciiDomain = new RegExp(`^${label}(?:\\.${label})*$`);

/**
 * What to change about a mail address; undefined if it is one. The length is checked first, since texts may be long.
 * `hosts`: a host of the own network is enough, `root@localhost`.
 */
export function mailAddressProblem(address: string, { hosts = false } = {}): string | undefined {
  if (address.length > maxBytes || Buffer.byteLength(address) > maxBytes) return `must have at most ${maxBytes} bytes`;
  const at = address.lastIndexOf('@');
  const [name, domain] = [address.slice(0, at), address.slice(at + 1)];
  if (at < 1 || !local.test(name)) return `must be an e-mail address: ${nameProblem(name, at)}`;
  if (Buffer.byteLength(name) > maxLocalBytes) return `must have at most ${maxLocalBytes} bytes before the @`;
  // A server compares bytes: "é" of two characters, or a letter of full width, would be another mailbox.
  if (name.normalize('NFKC') !== name) return 'must have ordinary, composed characters before the @ (Unicode NFKC)';
  const ascii = domainOf(domain);
  if (ascii === undefined) return `must be an e-mail address: ${/[\s\p{Z}]/u.test(domain) ? noBlanks : noDomain}`;
  if (!hosts && !/\.(?!\d+$)[^.]+$/.test(ascii))
    return 'must be an e-mail address: its domain must have a dot, and be no number';
  return Buffer.byteLength(name) + 1 + ascii.length > maxBytes ? `must have at most ${maxBytes} bytes` : undefined;
}

const noBlanks = 'it must have no blanks';
const noDomain = 'behind the @ it must have a domain, like shop.example.org';

/** What is wrong with what stands before the @. */
function nameProblem(name: string, at: number): string {
  if (at < 1) return 'name@domain, with the sign @ of ASCII';
  if (name.includes('"')) return 'its name must not be in quotes, nor have any';
  if (/[\s\p{Z}]/u.test(name)) return noBlanks;
  if (/^\.|\.\.|\.$/.test(name)) return 'its name must have single dots only, between other characters';
  return 'its name has a character that addresses do not have';
}

/** The domain in ASCII; undefined if it is none. */
function domainOf(domain: string): string | undefined {
  // domainToASCII would cut off what follows a slash, a question mark or a number sign.
  if (!/^(?:[a-zA-Z0-9.-]|[^\p{ASCII}\p{Z}\p{C}]|[\u200c\u200d])+$/u.test(domain)) return undefined;
  const ascii = asciiDomainOf(`@${domain}`);
  return ascii.length <= maxDomain && asciiDomain.test(ascii) ? ascii : undefined;
}

/** The domain of an address in ASCII, as the DNS has it: `xn--bcher-kva.example`. */
export function asciiDomainOf(address: string): string {
  const domain = address.slice(address.lastIndexOf('@') + 1);
  return /^\p{ASCII}*$/u.test(domain) ? domain : domainToASCII(domain);
}
