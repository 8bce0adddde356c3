/** StreamLocks: what is given to one of these runs after all that was given before has ended. */

/** A queue of its own. Callers bound it: each waits for its turn. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  };
}
