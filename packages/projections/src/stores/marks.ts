/**
 * How far the logs were that a view was made of: by log and epoch, the position of the furthest event in it. So an event that a log
 * has lost in a fail-over is found in a view for ever, however much was written since. See docs/fail-over.md.
 */
import { domainOf } from '@caudal/contract/entity.ts';
import { type Epochs, isLost } from '@caudal/eventlog/epochs.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { StoredDocument } from './store.ts';

/** By `<domain>:<number of the epoch>`. */
export type Marks = Record<string, number>;

/** In the stores, marks are among the streams: no stream's name begins so. Older collections need no new field. */
const sign = '@';
/** Losses are searched for soon after each; older epochs' marks are of no use then. */
const epochsKept = 8;

/** The marks after one more event. */
export function marked(marks: Marks, { stream, position, epoch = 0 }: RecordedEvent): Marks {
  const domain = domainOf(stream);
  const key = `${domain}:${epoch}`;
  const before = marks[key];
  if (before !== undefined) return before >= position ? marks : { ...marks, [key]: position };
  const after = { ...marks, [key]: position };
  const ofDomain = Object.keys(after).filter((name) => name.startsWith(`${domain}:`));
  if (ofDomain.length > epochsKept) delete after[ofDomain.toSorted((a, b) => epochIn(a) - epochIn(b))[0]!];
  return after;
}

const epochIn = (key: string) => Number(key.slice(key.indexOf(':') + 1));

/** Whether a document has an event that the domain's log has lost. */
export function hasLost({ marks = {} }: Pick<StoredDocument, 'marks'>, domain: string, epochs: Epochs): boolean {
  return Object.entries(marks).some(
    ([key, position]) => key.startsWith(`${domain}:`) && isLost(epochs, { epoch: epochIn(key), position }),
  );
}

/** A document's streams and marks as a store keeps them. */
export function packStreams({ streams, marks }: Pick<StoredDocument, 'streams' | 'marks'>): Record<string, number> {
  if (!marks) return streams;
  const packed = { ...streams };
  for (const [key, position] of Object.entries(marks)) packed[sign + key] = position;
  return packed;
}

/** The reverse. */
export function unpackStreams(packed: Record<string, number>): Pick<StoredDocument, 'streams' | 'marks'> {
  const entries = Object.entries(packed);
  if (!entries.some(([key]) => key.startsWith(sign))) return { streams: packed };
  const streams: Record<string, number> = {};
  const marks: Marks = {};
  for (const [key, number] of entries) {
    if (key.startsWith(sign)) marks[key.slice(sign.length)] = number;
    else streams[key] = number;
  }
  return { streams, marks };
}
