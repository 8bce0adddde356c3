/** The settings of caches: docs/caching.md. */
import type { Settings } from '@caudal/config/config.ts';
import { setting } from '@caudal/config/setting.ts';
import { cachesExpect, parseCaches } from './caches.ts';

export const cacheSettings = {
  CAUDAL_CACHES: setting.parsed(
    {
      description:
        'How views are cached, and for how long, where that is not as their contexts say; with ".pages" the pages of searches. Set it alike in all processes.',
      expects: cachesExpect,
      secrecy: 'public',
      optional: true,
    },
    parseCaches,
  ),
  CAUDAL_CACHE_MEMORY: setting.bytes({
    description: 'What cached views may take of the memory of a process, estimated.',
    default: '64MiB',
    min: 2 ** 20,
    max: 16 * 2 ** 30,
  }),
} satisfies Settings;
