/** Tests that need a browser. */
import { findChromium } from '@caudal/testing/chromium.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import type { ServerName } from '@caudal/testing/servers.ts';
import { describe } from '@jest/globals';

/** `describe` for tests that need a browser and these servers. Without them the tests are skipped, and named. */
export function describeInBrowser(servers: ServerName[], title: string, body: (chromium: string) => void): void {
  const chromium = findChromium();
  if (chromium) describeWith(servers, title, () => body(chromium));
  else describe.skip(`${title} (no Chromium in PATH or CHROMIUM_PATH)`, () => body(''));
}
