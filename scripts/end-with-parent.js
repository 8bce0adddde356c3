/**
 * Loaded into programs that bootstrap.js runs and that must end with the process that started them. A killed parent
 * passes no signal on. So the program then gets SIGHUP, as when its terminal is closed.
 */

/** How often the parent is checked if there is no channel to it. */
const checkMs = 500;
const end = () => process.kill(process.pid, 'SIGHUP');

if (process.channel) {
  // bootstrap.js waits beside the program: when it ends, the channel closes. The channel must not keep the program
  // running.
  process.on('disconnect', end);
  process.channel.unref();
} else {
  // bootstrap.js has become the program, and its parent is now the program's. An orphan gets another parent.
  const parent = Number(process.env.CAUDAL_PARENT);
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    end();
  }, checkMs);
  timer.unref();
}
delete process.env.CAUDAL_PARENT;

// Processes that the program forks must not load this file: their parents differ, and their channels may close at any
// time.
const at = process.execArgv.indexOf(import.meta.url);
if (at > 0) process.execArgv.splice(at - 1, 2);
