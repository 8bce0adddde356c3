/**
 * Loaded into programs that bootstrap.js runs and that must not outlive the process that started them. A killed parent passes
 * no signal on, so the program ends then as it does when its terminal is closed.
 */

/** How often the parent is checked where there is no channel to it. */
const checkMs = 500;
const end = () => process.kill(process.pid, 'SIGHUP');

if (process.channel) {
  // bootstrap.js waits beside the program: its end closes the channel, which must not keep the program running.
  process.on('disconnect', end);
  process.channel.unref();
} else {
  // bootstrap.js has become the program, so its parent is the program's. An orphan has another parent.
  const parent = Number(process.env.CAUDAL_PARENT);
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    end();
  }, checkMs);
  timer.unref();
}
delete process.env.CAUDAL_PARENT;

// What the program forks has other parents, and channels of its own that may close at any time.
const at = process.execArgv.indexOf(import.meta.url);
if (at > 0) process.execArgv.splice(at - 1, 2);
