/** A record as it is stored: JSON, whose bytes the chain covers. */
import type { AuditEntry } from './types.ts';

/** Of texts that callers choose. A subject has its own bound, which tokens have too. */
const longest = 200;
const longestSubject = 255;

/** A record on its way to the database. */
export interface Pending extends AuditEntry {
  time: Date;
  count: number;
}

/** Control characters, and those that change the direction of what follows, would let a text look like another record. */
const misleading = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

function cut(text: string, most = longest): string {
  const clean = text.toWellFormed().replace(misleading, ' ');
  return clean.length <= most ? clean : clean.slice(0, most).toWellFormed();
}

/** Numbers that could be a card's, by their length and check digit: nothing that is kept for years has them. */
function withoutCards(text: string): string {
  return text.replace(/\d(?:[ -]?\d){12,18}/g, (found) => (isLuhn(found.replace(/\D/g, '')) ? '[card]' : found));
}

function isLuhn(digits: string): boolean {
  let sum = 0;
  for (let place = 0; place < digits.length; place++) {
    const digit = Number(digits[digits.length - 1 - place]);
    const doubled = place % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** The JSON of a record. Its texts are cut and in one line, whatever a caller has sent. */
export function bodyOf({ time, kind, count, ...texts }: Pending): string {
  return JSON.stringify({
    time: time.toISOString(),
    kind,
    subject: cut(texts.subject, longestSubject),
    credential: cut(texts.credential),
    address: cut(texts.address),
    requestId: cut(texts.requestId),
    method: cut(texts.method),
    resource: cut(texts.resource),
    outcome: cut(texts.outcome),
    reason: cut(withoutCards(texts.reason)),
    wrote: cut(texts.wrote),
    count,
  });
}

/** What a stored record says. Throws if it is no record: it was changed. */
export function parseBody(body: string): Pending {
  const fields = JSON.parse(body) as Record<keyof Pending, unknown>;
  const time = new Date(String(fields.time));
  if (Number.isNaN(time.getTime())) throw new Error('it has no time');
  const text = (name: keyof Pending) => String(fields[name] ?? '');
  return {
    time,
    kind: text('kind') as Pending['kind'],
    subject: text('subject'),
    credential: text('credential'),
    address: text('address'),
    requestId: text('requestId'),
    method: text('method'),
    resource: text('resource'),
    outcome: text('outcome'),
    reason: text('reason'),
    wrote: text('wrote'),
    count: Number(fields.count ?? 1),
  };
}
