/**
 * Loaded into every program that bootstrap.js runs: a killed bootstrap passes no signal on, but the channel to it closes.
 * The program ends then as it does when its terminal is closed.
 */
process.on('disconnect', () => process.kill(process.pid, 'SIGHUP'));
// The program must not wait for it.
process.channel?.unref();
// Processes that this one forks have channels of their own, which may close at any time.
const at = process.execArgv.indexOf(import.meta.url);
if (at > 0) process.execArgv.splice(at - 1, 2);
