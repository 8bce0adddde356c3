/**
 * The parts of a rebuild: shares of the streams of all logs. Each part folds its events in the logs' order, one batch
 * after the other; the parts work at the same time, on pages that are read once for all of them. Streams of the same id
 * (an order, its payment) are in one part, so parts hardly ever write the same view.
 */
import { idOfStream } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { fnv1a } from '@caudal/kernel/fnv1a.ts';
import type { LogPage } from '../read-logs.ts';

export interface Part {
  /** By domain: up to where the part's events of that log are folded in. */
  positions: Map<string, number>;
  /** How many events that were. */
  events: number;
}

/** Pages that are read before the slowest part is done with the first of them. */
const pagesAhead = 2;

export function newParts(count: number): Part[] {
  return Array.from({ length: count }, () => ({ positions: new Map(), events: 0 }));
}

/** Up to where all parts are, by domain. */
export function commonPositions(parts: Part[]): Map<string, number> {
  const domains = new Set(parts.flatMap(({ positions }) => [...positions.keys()]));
  return new Map([...domains].map((domain) => [domain, positionIn(parts, domain)]));
}

function positionIn(parts: Part[], domain: string): number {
  return Math.min(...parts.map(({ positions }) => positions.get(domain) ?? 0));
}

/** The number of the part that a stream belongs to. A rebuild in progress relies on it: it must never change. */
function partOf(stream: string, parts: number): number {
  const hash = fnv1a(idOfStream(stream));
  return ((hash ^ (hash >>> 15)) >>> 0) % parts;
}

/** The events of a page by part, without those that a part has folded in before. */
function shares({ domain, events }: LogPage, parts: Part[]): RecordedEvent[][] {
  const byPart = parts.map((): RecordedEvent[] => []);
  for (const event of events) {
    const number = partOf(event.stream, parts.length);
    if (event.position > (parts[number]!.positions.get(domain) ?? 0)) byPart[number]!.push(event);
  }
  return byPart;
}

/**
 * Folds pages into all parts. If a fold or the reading throws, no further batch begins; once those in flight have ended,
 * the error is thrown. Then it may be called again, with pages from `commonPositions` on.
 */
export async function foldInParts(options: {
  pages: AsyncIterable<LogPage>;
  parts: Part[];
  fold(events: RecordedEvent[]): Promise<void>;
  /** Called for each page, in order, when all parts are done with it. */
  onDone(page: LogPage): void;
}): Promise<void> {
  const { pages, parts, fold, onDone } = options;
  const tails = parts.map(() => Promise.resolve());
  const unfinished: Promise<void>[] = [];
  let failure: { error: unknown } | undefined;

  async function advance(part: Part, { domain, position }: LogPage, events: RecordedEvent[]): Promise<void> {
    if (failure) return;
    try {
      if (events.length > 0) await fold(events);
      part.positions.set(domain, Math.max(position, part.positions.get(domain) ?? 0));
      part.events += events.length;
    } catch (error) {
      failure ??= { error };
    }
  }

  try {
    for await (const page of pages) {
      const byPart = shares(page, parts);
      for (const [number, part] of parts.entries())
        tails[number] = tails[number]!.then(() => advance(part, page, byPart[number]!));
      unfinished.push(
        Promise.all(tails).then(() => {
          if (!failure) onDone(page);
        }),
      );
      if (unfinished.length > pagesAhead) await unfinished.shift();
      if (failure) break;
    }
  } finally {
    await Promise.all(unfinished);
  }
  if (failure) throw failure.error;
}
