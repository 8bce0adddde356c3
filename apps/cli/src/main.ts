/** The entry of the `caudal` command (program.ts), with settings of Node that must precede all other modules. */
import { enableCompileCache } from 'node:module';

// Stripping types from the sources takes half of a command's start; the cache stores the result.
enableCompileCache();
// Only `start` logs from level info on. Other commands report in their output.
if (process.argv[2] !== 'start') process.env.LOG_LEVEL ??= 'warn';

const { main } = await import('./program.ts');
await main();
