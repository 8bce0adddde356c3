/** One benchmark in a process of its own, so that none runs with the heap and the compiled code of another. */
import { benches } from './benches.ts';

const [name, mode] = process.argv.slice(2);
const bench = benches.find((each) => each.name === name)!;
const figures = await bench.run({
  quick: mode === 'quick',
  long: mode === 'long',
  say: (what) => process.send!({ say: what }),
});
process.send!({ figures });
process.disconnect!();
