/** One benchmark in a process of its own, so that none runs with the heap and the compiled code of another. */
import { benches } from './benches.ts';

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    interrupted = true;
  });

const [name, mode] = process.argv.slice(2);
const bench = benches.find((each) => each.name === name)!;
const figures = await bench.run({
  quick: mode === 'quick',
  long: mode === 'long',
  say(what) {
    // Between two rounds, so that it stops the servers and processes that it has started.
    if (interrupted) throw new Error('Interrupted.');
    process.send!({ say: what });
  },
});
process.send!({ figures });
process.disconnect!();
