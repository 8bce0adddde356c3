/** What a parcel's row has beside its columns: what its traces come to, and the latest of them. */
import { deserialize, serialize } from 'node:v8';
import { ParcelRow } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import type { ParcelState } from '../domain/parcel.ts';
import { traceMessage, traceOf } from '../trace-message.ts';

/** The bytes of a state. The row itself says carrier and number of its traces. */
export function encodeParcel({ latest, ...judged }: ParcelState): Uint8Array {
  const messages = latest.map((trace) => ({ ...traceMessage(trace), carrier: '', trackingNumber: '' }));
  return ParcelRow.encode({ judged: serialize(judged), latest: messages }).finish();
}

/** The state that `encodeParcel` has written. `carrier` and `trackingNumber`: those of its traces. */
export function decodeParcel(data: Uint8Array, of: { carrier: string; trackingNumber: string }): ParcelState {
  const { judged, latest } = ParcelRow.decode(data);
  return { ...deserialize(judged), latest: latest.map((message) => traceOf({ ...message, ...of })) };
}
