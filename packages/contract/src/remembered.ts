/**
 * How long contexts remember what was done for each other: whether a wallet has paid a refund, whether a reservation's pieces are
 * back. What one context repeats ends before another one forgets. See docs/returns.md.
 */

/** The days for which outcomes, and the answers to commands by their request ids, are remembered at least. */
export const rememberedDays = 30;

const dayMs = 86_400_000;

export const rememberedMs = rememberedDays * dayMs;

/** How long a request may be repeated: a day less, for calls that take long and for clocks that differ. */
export const repeatableMs = rememberedMs - dayMs;
