/** A browser on this machine, for tests of pages. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome-headless-shell'];

/** Its path: that of CHROMIUM_PATH, or of PATH; undefined if there is none. */
export function findChromium(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const candidates = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [process.env.CHROMIUM_PATH, ...candidates].find((path) => path && existsSync(path));
}

interface BrowsedPage {
  /** The document as the browser has made it, once it is idle. */
  html: string;
  /** What the page's policy has refused. */
  complaints: string[];
}

/** Opens the page in a browser of its own. `flags`: further ones of Chromium. Rejects if there is no browser, or after 90 s. */
export async function browse(url: string, flags: string[] = []): Promise<BrowsedPage> {
  const chromium = findChromium();
  if (!chromium) throw new Error('There is no Chromium in PATH or CHROMIUM_PATH.');
  const profile = mkdtempSync(join(tmpdir(), 'caudal-browser-'));
  try {
    const usual = ['--headless=new', '--no-sandbox', '--disable-gpu', `--user-data-dir=${profile}`];
    const shows = ['--virtual-time-budget=15000', '--enable-logging=stderr', '--dump-dom', url];
    const { stdout, stderr } = await promisify(execFile)(chromium, [...usual, ...flags, ...shows], {
      timeout: 90_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    const complaints = stderr
      .split('\n')
      .filter((line) => /CONSOLE/.test(line) && /Refused|violates|Content Security/.test(line));
    return { html: stdout, complaints };
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
