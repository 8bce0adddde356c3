/** What of a carrier's body is recorded, so that the rest is told or tried again, and counts for nothing. */
import { refusalOf } from '../domain/acceptance.ts';
import { maxTraces } from './fields.ts';
import type { Parsed } from './port.ts';

/** Without the traces that no way in takes, and without those that are too many for one call. */
export function acceptable({ traces, refused }: Parsed, now: Date): Parsed {
  const kept = traces.slice(0, maxTraces);
  const found = kept.map((trace) => refusalOf(trace, now));
  const impossible = found.flatMap((refusal, index) =>
    refusal ? [{ index, field: `${kept[index]!.trackingNumber}.happenedAt`, problem: refusal.message }] : [],
  );
  const tooMany =
    traces.length > maxTraces
      ? [{ field: '', problem: `It has ${traces.length} traces: send at most ${maxTraces} at a time.` }]
      : [];
  return { traces: kept.filter((_, index) => !found[index]), refused: [...refused, ...impossible, ...tooMany] };
}
