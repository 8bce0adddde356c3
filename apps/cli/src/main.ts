/** The `caudal` command (cli/program.ts), and what must be said to Node before any of it is loaded. */
import { enableCompileCache } from 'node:module';

// Half of the time of a command's start goes into stripping the types of its sources; the cache keeps them stripped.
enableCompileCache();
// What runs for long logs what it does. A command that answers and ends says it in its answer.
if (process.argv[2] !== 'start') process.env.LOG_LEVEL ??= 'warn';

const { main } = await import('./program.ts');
await main();
