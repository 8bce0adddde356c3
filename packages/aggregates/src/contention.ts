/**
 * Streams that several processes write to at the same time. Who loses a race for a stream has to decide all its commands
 * again, and meanwhile who has won is back at the log. So where races are lost again and again, processes take turns
 * (`EventLog.lockStream`): each decides undisturbed for a while, then lets the next go on. What may land is still the log's
 * verdict alone: a process that does without, or whose turn was taken away, can cost others a decision, and no more.
 *
 * A stream is contended from the moment races are lost in a row, or often by many commands at once (which is what makes a
 * lost race dear), until for a while no turn had to be waited for. Meanwhile commands are decided in turns only:
 *
 *   none    A turn is asked for if there are commands.
 *   asked   Commands wait.
 *   held    What others have written is read. From then on the time counts, and commands are decided. When it is over none
 *           are; once all in flight is judged, or as soon as there is nothing to do, the turn ends.
 *
 * A process that takes no turns yet makes the holder of one lose. The holder then tries few commands, which is quick, so
 * the other one, which has many to decide, is the next to lose, and takes turns too.
 *
 * Rejected: giving way for as long as the last chain took, without a lock. The longest wait fell to 0.3 s, but throughput to
 * a quarter of one process's: whoever gives way does not know when the other has done.
 */
import type { EventLog } from '@caudal/eventlog/types.ts';
import type { Entry } from './entry.ts';

/** A stream is contended if a command has lost so many races in a row, */
const patience = 3;
/** or if so many commands wait while two races are lost within this time. */
const crowd = 16;
const crowdMs = 1_000;
/** Others were there if a turn was waited for as long as this. */
const longWaitMs = 20;
/** A stream is no longer contended after this long without such a wait. */
const calmMs = 1_000;
/**
 * How long commands are decided in a turn. With 10 ms much of the time goes into handing over, with 100 ms two processes
 * wait for 0.3 s at times; between 25 and 50 ms there was no difference that could be told from noise.
 */
const turnMs = 50;

export interface Contention {
  /**
   * Whether the entry's commands may be decided. If not, a turn was asked for, and `onTurn` will be called; or the turn is
   * over, and it is to be asked again once all in flight is judged.
   */
  mayDecide(entry: Entry): boolean;
  /** The entry has nothing to do: lets others have its turn. */
  rest(entry: Entry): void;
  /** The first of the commands that wait has lost a race to another writer, the last of so many in a row. */
  lost(entry: Entry, times: number): void;
}

export interface ContentionOptions {
  log: Pick<EventLog, 'lockStream'>;
  /** Milliseconds by a clock that never goes back. */
  elapsed(): number;
  /** The entry has its turn; others may have written before. */
  onTurn(entry: Entry): void;
}

export function openContention({ log, elapsed, onTurn }: ContentionOptions): Contention {
  async function ask(entry: Entry): Promise<void> {
    entry.turn = 'asked';
    const askedMs = elapsed();
    const end = await log.lockStream!(entry.stream);
    const now = elapsed();
    if (now - askedMs >= longWaitMs) entry.contendedUntilMs = now + calmMs;
    entry.turn = { endsAtMs: undefined, end };
    onTurn(entry);
  }

  function rest(entry: Entry): void {
    if (!entry.turn || entry.turn === 'asked') return;
    entry.turn.end();
    entry.turn = undefined;
  }

  return {
    mayDecide(entry) {
      const now = elapsed();
      const { turn } = entry;
      if (turn === 'asked') return false;
      if (turn) {
        // It begins now that all is read: reading may have taken longer than a turn lasts.
        turn.endsAtMs ??= now + turnMs;
        if (now < turn.endsAtMs) return true;
        if (entry.inFlight.length > 0) return false;
        rest(entry);
      }
      if (!log.lockStream || now >= entry.contendedUntilMs) return true;
      void ask(entry);
      return false;
    },
    rest,
    lost(entry, times) {
      const now = elapsed();
      const crowded = entry.waiting.size >= crowd && now - entry.lostAtMs < crowdMs;
      if (crowded || times >= patience) entry.contendedUntilMs = now + calmMs;
      entry.lostAtMs = now;
    },
  };
}
