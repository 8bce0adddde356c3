/**
 * Tags of entries in Redis. A drop leaves a mark with its time on each tag; an entry keeps its tags and when its load began, both by
 * the clock of Redis. An entry that began before the mark of one of its tags counts as absent. So a drop is one write a tag, however
 * many entries have it.
 */
import type { RedisArgument } from 'redis';

/** Entries with tags are kept for at most this long, in milliseconds, so that marks outlast them. */
export const maxTaggedMs = 3_600_000;
const maxPending = 10_000;
const dropsAtOnce = 100;

/** What an entry was loaded under: its tags, and when its load began by the clock of Redis. */
export interface Tagged {
  tags: string[];
  since: string;
}

export interface SharedTagsOptions {
  namespace: string;
  isReady(): boolean;
  /** Calls drop-tags.lua; undefined if Redis can't be reached. */
  drop(keys: string[], args: RedisArgument[]): Promise<number | undefined>;
}

export function sharedTags({ namespace, isReady, drop }: SharedTagsOptions) {
  const prefix = `caudal:cache:tag:${namespace}:`;
  const channel = `caudal:cache:${namespace}:dropped`;
  const pending = new Set<string>();
  const dropTags = async (tags: string[]): Promise<void> => {
    for (let place = 0; place < tags.length; place += dropsAtOnce) {
      const batch = tags.slice(place, place + dropsAtOnce);
      const keys = batch.map((tag) => prefix + tag);
      if ((await drop(keys, [String(maxTaggedMs), channel, JSON.stringify(batch)])) !== undefined) continue;
      for (const tag of batch) {
        pending.add(tag);
        if (pending.size > maxPending) pending.delete(pending.values().next().value!);
      }
    }
  };
  return {
    channel,
    prefix,
    drop: dropTags,
    /** The keys and arguments that fill.lua has for an entry with tags. */
    filling: (tagsKey: string, { tags, since }: Tagged) => ({
      keys: [tagsKey, ...tags.map((tag) => prefix + tag)],
      args: [since, tags.join('\n')],
    }),
    /** Sends the drops that Redis has not had. */
    retry(): void {
      if (!isReady() || pending.size === 0) return;
      const batch = [...pending].slice(0, 1_000);
      for (const tag of batch) pending.delete(tag);
      void dropTags(batch);
    },
  };
}
