/** A trace as a line of a file in the archive, and the check that lines come as they must. docs/tracking-archive.md, What is there. */
import { Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { openSum } from '@caudal/eventlog/archive/digest.ts';
import { compareKeys, type Key } from '@caudal/eventlog/archive/frames.ts';

/** All that is in a trace's row, exactly. */
export interface ArchivedTrace {
  parcel: string;
  id: string;
  /** With microseconds, so that the order of texts is that of times: `2023-03-01T12:00:00.123000Z`. */
  happenedAt: string;
  /** The trace as it came, in base64. */
  body: string;
}

/** What the file is sorted by. */
export const keyOf = ({ parcel, happenedAt, id }: ArchivedTrace): Key => [parcel, happenedAt, id];

/** The line, with its line break, and with the decoded trace in `fields`. */
export function toLine(trace: ArchivedTrace): string {
  const fields = Trace.toJSON(Trace.decode(Buffer.from(trace.body, 'base64')));
  return `${JSON.stringify({ ...trace, fields })}\n`;
}

/** The traces of a frame's text. Throws if it is not lines of traces. */
export function parseTraces(text: string): ArchivedTrace[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { parcel, id, happenedAt, body } = JSON.parse(line) as ArchivedTrace;
      return { parcel, id, happenedAt, body };
    });
}

/** Takes the traces of a month one by one. Throws at the first that is of another month, or not behind the one before. */
export function openSequence(month: string) {
  const sum = openSum();
  let last: ArchivedTrace | undefined;
  let parcels = 0;
  return {
    take(trace: ArchivedTrace): void {
      const { parcel, id, happenedAt, body } = trace;
      if (!happenedAt.startsWith(month)) throw new Error(`The trace ${id} of ${happenedAt} is not of ${month}.`);
      if (last && compareKeys(keyOf(last), keyOf(trace)) >= 0)
        throw new Error(`The traces of ${month} are not in order: ${id} of ${parcel} comes after ${last.id}.`);
      if (last?.parcel !== parcel) parcels += 1;
      sum.add(JSON.stringify([parcel, id, happenedAt, body]));
      last = trace;
    },
    end(): { traces: number; parcels: number; digest: string } {
      const { count, digest } = sum.result();
      return { traces: count, parcels, digest };
    },
  };
}
