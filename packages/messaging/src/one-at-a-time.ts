/** Work that must not overlap: each piece starts after all that were given before it have ended. */

/** A queue of its own. Its callers bound its length: each waits for the end of its work. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };
}
