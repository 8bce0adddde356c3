// Lints the contract and generates packages/contract/src/gen from it, and the contract of rpc's tests. With `--check`
// it fails if the committed files differ.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } });
if (values.help) {
  console.log(
    'Usage: npm run contract [-- --check]\n\nLints proto/ and generates packages/contract/src/gen from it, and the contract of the tests of packages/rpc.\n--check: fail if the committed files differ.',
  );
  process.exit(0);
}
const gen = 'packages/contract/src/gen';
/** The contract of rpc's tests is a module of its own, so that none of it is shipped. */
const tests = 'packages/rpc/src/testing';
const run = (command, ...args) => execFileSync(command, args, { stdio: 'inherit' });

run('buf', 'lint');
run(
  'buf',
  'format',
  ...(values.check ? ['--diff', '--exit-code'] : ['--write']),
  '--path',
  'proto/caudal',
  '--path',
  `${tests}/proto/caudal`,
);
run('buf', 'generate');
run('buf', 'generate', '--template', `${tests}/proto/buf.gen.yaml`);
// These are used through the descriptors only, never as code.
for (const unused of ['google/api', 'google/protobuf/descriptor.ts', 'buf', 'caudal/options.ts']) {
  for (const folder of [gen, `${tests}/gen`]) rmSync(`${folder}/${unused}`, { recursive: true, force: true });
}
rmSync(`${tests}/gen/google`, { recursive: true, force: true });
// With the comments, because they become the REST documentation.
run('buf', 'build', 'proto', '--as-file-descriptor-set', '--output', `${gen}/contract.binpb`);
// Without its imports: the tests load it after the contract.
run(
  'buf',
  'build',
  `${tests}/proto`,
  '--as-file-descriptor-set',
  '--exclude-imports',
  '--output',
  `${tests}/gen/probe.binpb`,
);
if (values.check) {
  // Not `git diff`, which does not report new files. What is staged counts as committed.
  const status = execFileSync('git', ['status', '--porcelain', '--untracked-files=all', '--', gen, `${tests}/gen`], {
    encoding: 'utf8',
  });
  const differs = status.split('\n').filter((line) => line !== '' && line[1] !== ' ');
  if (differs.length > 0) {
    console.error(`The generated files differ from the committed ones:\n${differs.join('\n')}`);
    console.error('Run "npm run contract" and commit what it writes.');
    process.exit(1);
  }
}
