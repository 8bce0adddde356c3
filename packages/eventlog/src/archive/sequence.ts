/** Checks that events come as they must: whole, in order, without a gap. */
import { compareKeys, type Key } from './frames.ts';
import { type ArchivedEvent, openDigest } from './line.ts';

/** What a month must have: its positions are those after `after`, up to `end`. */
export interface Extent {
  month: string;
  after: number;
  end: number;
}

export type Order = 'position' | 'stream';

export const keyOf = (order: Order, { position, stream, version }: ArchivedEvent): Key =>
  order === 'position' ? [position] : [stream, version];

/** Takes the month's events one by one. Throws at the first that is not the next one. `end` throws unless all were there. */
export function openSequence(order: Order, { month, after, end }: Extent) {
  const digest = openDigest();
  let last: ArchivedEvent | undefined;
  const wrong = (what: string) => new Error(`The events of ${month} in the order of ${order}s are not whole: ${what}.`);
  return {
    take(event: ArchivedEvent): void {
      const { position, stream, version } = event;
      if (position <= after || position > end) throw wrong(`position ${position} is not of this month`);
      if (order === 'position' && position !== (last?.position ?? after) + 1)
        throw wrong(`${position} comes after position ${last?.position ?? after}`);
      if (order === 'stream' && last) {
        if (compareKeys(keyOf(order, last), keyOf(order, event)) >= 0)
          throw wrong(`version ${version} of ${stream} comes after ${last.version} of ${last.stream}`);
        if (stream === last.stream && version !== last.version + 1)
          throw wrong(`version ${version} of ${stream} comes after ${last.version}`);
      }
      digest.add(event);
      last = event;
    },
    end() {
      const result = digest.result();
      if (result.events !== end - after) throw wrong(`there are ${result.events} of ${end - after} events`);
      return result;
    },
  };
}
