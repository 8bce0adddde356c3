/**
 * Clocks that can be set while a process runs: libfaketime of Debian's package `faketime`, loaded before the C library.
 * What it changes is the wall clock. CLOCK_MONOTONIC, on which timers run, stays as it is: NTP does not touch that either.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, globSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FakeClock {
  /** Settings for a process that is to go by this clock. Its children do as well. */
  env: Record<string, string>;
  /** Sets it to so much before (below 0) or after the true time. Whoever goes by it has noticed within a second or so. */
  set(offsetMs: number): void;
  /** Deletes what it needs. */
  remove(): void;
}

/** Where Debian has it, for each architecture. "MT": for programs with threads. */
const places = '/usr/lib/*/faketime/libfaketimeMT.so.1';
const installMs = 300_000;

/** The library; undefined if it is not there, and can't be installed as test/servers installs its servers: root, by apt-get. */
export function findFaketime(): string | undefined {
  const find = () => globSync(places)[0];
  if (find()) return find();
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return undefined;
  const apt = (...args: string[]) =>
    execFileSync('apt-get', ['-qy', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: 'ignore',
      timeout: installMs,
    });
  try {
    apt('update');
    apt('install', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', 'faketime');
  } catch (error) {
    console.warn(`faketime can't be installed: ${(error as Error).message}`);
  }
  return find();
}

/** A clock that shows the true time at first. */
export function makeClock(library: string): FakeClock {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-clock-'));
  const file = join(folder, 'offset');
  const clock: FakeClock = {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // Seconds until the file is read again.
      FAKETIME_CACHE_DURATION: '1',
    },
    set(offsetMs) {
      const seconds = offsetMs / 1_000;
      writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
      // Nobody reads half of it.
      renameSync(`${file}.new`, file);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
  // PostgreSQL runs as another user.
  chmodSync(folder, 0o755);
  clock.set(0);
  return clock;
}
