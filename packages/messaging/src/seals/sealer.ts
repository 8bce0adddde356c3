/** Seals events that are published together: one signature for all of them. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { hashTree } from './hash-tree.ts';
import { encodeSeal, eventHash, type Seal, signedBytes } from './seal.ts';

/** The key of a relay's workload. */
export interface Signer {
  /** Its name in the set of public keys; at most 255 characters. */
  keyId: string;
  sign(bytes: Buffer): Buffer;
}

/** The seals of events, of which there is at least one. */
export type Sealer = (events: RecordedEvent[]) => Map<RecordedEvent, Seal>;

export function openSealer({ keyId, sign }: Signer): Sealer {
  return (events) => {
    const { root, pathOf } = hashTree(events.map(eventHash));
    const common = { size: events.length, signature: sign(signedBytes(root)) };
    return new Map(
      events.map((event, index) => [event, { keyId, bytes: encodeSeal({ index, ...common, path: pathOf(index) }) }]),
    );
  };
}
