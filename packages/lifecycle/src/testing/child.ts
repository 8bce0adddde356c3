/** A process with a lifecycle that writes what happens to standard output. Its argument is the failure to cause. */
import { createLifecycle } from '../lifecycle.ts';
import { endWithProcess } from '../process.ts';

const [trouble] = process.argv.slice(2);
const lifecycle = createLifecycle();
endWithProcess(lifecycle);
lifecycle.onStop('first', () => console.log('first stopped'));
lifecycle.onStop(
  'second',
  () => {
    console.log('second stopping');
    return trouble === 'hang' ? new Promise<void>((resolve) => setTimeout(resolve, 60_000)) : undefined;
  },
  { timeoutMs: trouble === 'late' ? 1 : 60_000 },
);
lifecycle.onStop('third', () => {
  if (trouble === 'late') throw new Error('third fails');
});
lifecycle.started();
const alive = setInterval(() => {}, 60_000);
lifecycle.onStop('interval', () => clearInterval(alive));
console.log('ready');
if (trouble === 'throw') setImmediate(() => JSON.parse('{'));
if (trouble === 'reject') void Promise.reject(new Error('not handled'));
