// Lints the contract and generates packages/contract/src/gen from it. `--check` fails if what is committed differs.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } });
if (values.help) {
  console.log(
    'Usage: npm run contract [-- --check]\n\nLints proto/ and generates packages/contract/src/gen from it.\n--check: fail if the committed files differ.',
  );
  process.exit(0);
}
const gen = 'packages/contract/src/gen';
const run = (command, ...args) => execFileSync(command, args, { stdio: 'inherit' });

run('buf', 'lint');
run('buf', 'format', ...(values.check ? ['--diff', '--exit-code'] : ['--write']), '--path', 'proto/caudal');
run('buf', 'generate');
// Only read through the descriptors, never as code.
for (const unused of ['google/api', 'google/protobuf/descriptor.ts', 'buf', 'caudal/options.ts']) {
  rmSync(`${gen}/${unused}`, { recursive: true, force: true });
}
// With the comments: they become the REST documentation.
run('buf', 'build', '--as-file-descriptor-set', '--output', `${gen}/contract.binpb`);
if (values.check) {
  // Not `git diff`, which says nothing of files that are new. What is staged counts as committed.
  const status = execFileSync('git', ['status', '--porcelain', '--untracked-files=all', '--', gen], {
    encoding: 'utf8',
  });
  const differs = status.split('\n').filter((line) => line !== '' && line[1] !== ' ');
  if (differs.length > 0) {
    console.error(`What is generated is not what is committed:\n${differs.join('\n')}`);
    console.error('Run "npm run contract" and commit what it writes.');
    process.exit(1);
  }
}
