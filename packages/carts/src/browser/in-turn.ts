/** Work that one tab does at a time: Web Locks. */

/**
 * Does it when no other tab of this origin does, or after `waitMs`: a tab may be stopped while it has its turn. So two at once must be
 * right as well, only more work. A tab that ends gives its turn back. It never begins before this has returned, also where there are no
 * Web Locks: on pages without https.
 */
export async function inTurn<R>(name: string, waitMs: number, act: () => Promise<R>): Promise<R> {
  const locks = globalThis.navigator?.locks;
  let hasBegun = false;
  const begin = () => {
    hasBegun = true;
    return act();
  };
  if (!locks) {
    await undefined;
    return begin();
  }
  try {
    return await locks.request(name, { signal: AbortSignal.timeout(waitMs) }, begin);
  } catch (error) {
    if (hasBegun) throw error;
    return begin();
  }
}
