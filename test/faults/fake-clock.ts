/**
 * Clocks that can be set while a process runs: libfaketime of Debian's package `faketime`, loaded before the C library.
 * It changes the wall clock only. Timers use CLOCK_MONOTONIC, which NTP does not change either.
 */
import { chmodSync, globSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromDebian } from './debian.ts';

export interface FakeClock {
  /** Settings for a process that uses this clock. Its children use it too. */
  env: Record<string, string>;
  /** Sets the clock to this much before (below 0) or after the true time. It takes effect within about a second. */
  set(offsetMs: number): void;
  /** Deletes its files. */
  remove(): void;
}

/** Its path in Debian, for each architecture. "MT": for programs with threads. */
const places = '/usr/lib/*/faketime/libfaketimeMT.so.1';

/** The library. If it is missing and this process is root, it is installed by apt-get; undefined if it can't be. */
export const findFaketime = (): string | undefined => fromDebian('faketime', () => globSync(places)[0]);

/** A clock that first shows the true time. */
export function makeClock(library: string): FakeClock {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-clock-'));
  const file = join(folder, 'offset');
  const clock: FakeClock = {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // Seconds after which libfaketime reads the file again.
      FAKETIME_CACHE_DURATION: '1',
    },
    set(offsetMs) {
      const seconds = offsetMs / 1_000;
      writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
      // By a rename, so that no process reads half of it.
      renameSync(`${file}.new`, file);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
  // PostgreSQL runs as another user.
  chmodSync(folder, 0o755);
  clock.set(0);
  return clock;
}
