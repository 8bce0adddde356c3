/**
 * The import rules of .dependency-cruiser.js work: each bad import of a small tree is reported under its rule, and no
 * good one is.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

const dependencies = { grpc: '1.0.0' };
const files: Record<string, string> = {
  'package.json': JSON.stringify({ devDependencies: { faker: '1.0.0' } }),
  'node_modules/grpc/package.json': JSON.stringify({ name: 'grpc', version: '1.0.0', main: 'index.js' }),
  'node_modules/grpc/index.js': '',
  'node_modules/faker/package.json': JSON.stringify({ name: 'faker', version: '1.0.0', main: 'index.js' }),
  'node_modules/faker/index.js': '',
  'packages/rpc/package.json': JSON.stringify({ dependencies, devDependencies: { faker: '1.0.0' } }),
  'services/stock/package.json': JSON.stringify({ dependencies }),

  // Good imports.
  'packages/kernel/src/ids.ts': "import { randomUUID } from 'node:crypto';",
  'packages/contract/src/entity.ts': "import type { Id } from '../../kernel/src/ids.ts';",
  'packages/aggregates/src/types.ts': "import type { Entity } from '../../contract/src/entity.ts';",
  'packages/aggregates/src/aggregates.ts': "import '../../eventlog/src/log.ts';",
  'packages/eventlog/src/log.ts': "import '../../contract/src/entity.ts';",
  'packages/rpc/src/server.ts': "import 'grpc';",
  'packages/testing/src/given.ts': "import '../../aggregates/src/types.ts';",
  'packages/rpc/src/testing/stub.ts': "import 'faker'; import '../../../testing/src/given.ts';",
  'packages/rpc/src/server.test.ts': "import './testing/stub.ts'; import '../../eventlog/src/log.ts';",
  'services/orders/src/domain/order.ts': `import type { Decider } from '../../../../packages/aggregates/src/types.ts';
    import '../../../../packages/contract/src/entity.ts'; import '../../../../packages/kernel/src/ids.ts';`,
  'services/orders/src/context.ts': "import './domain/order.ts'; import '../../../packages/rpc/src/server.ts';",
  'services/stock/src/context.ts': '',
  'apps/server/src/contexts.ts': `import '../../../services/orders/src/context.ts';
    import '../../../services/stock/src/context.ts';`,
  'apps/cli/src/main.ts': "import '../../server/src/contexts.ts'; import '../../importer/src/run.ts';",
  'apps/importer/src/run.ts': "import '../../../packages/rpc/src/client/client.ts';",
  'packages/rpc/src/client/client.ts': '',
  'packages/rpc/src/grpc/grpc.ts': '',

  // Bad imports: one in each file, or two for a circle.
  'packages/kernel/src/up.ts': "import '../../contract/src/entity.ts';",
  'packages/eventlog/src/up.ts': "import type { Decider } from '../../aggregates/src/types.ts';",
  'packages/rpc/src/aside.ts': "import '../../eventlog/src/log.ts';",
  'packages/rpc/src/faked.ts': "import 'faker';",
  'packages/eventlog/src/undeclared.ts': "import 'grpc';",
  'packages/rpc/src/nowhere.ts': "import './somewhere.ts';",
  'packages/rpc/src/given.ts': "import '../../testing/src/given.ts';",
  'packages/rpc/src/tested.ts': "import './server.test.ts';",
  'packages/rpc/src/helped.ts': "import './testing/stub.ts';",
  'packages/rpc/src/other.test.ts': "import './server.test.ts';",
  'packages/kernel/src/business.test.ts': "import '../../../services/stock/src/context.ts';",
  'packages/unheard-of/src/new.ts': "import '../../kernel/src/ids.ts';",
  'packages/kernel/src/egg.ts': "import './hen.ts';",
  'packages/kernel/src/hen.ts': "import './egg.ts';",
  'services/stock/src/peer.ts': "import '../../orders/src/context.ts';",
  'services/stock/src/boss.ts': "import '../../../apps/cli/src/main.ts';",
  'apps/cli/src/shortcut.ts': "import '../../../services/stock/src/context.ts';",
  'apps/server/src/commander.ts': "import '../../cli/src/main.ts';",
  'apps/importer/src/inside.ts': "import '../../../packages/rpc/src/grpc/grpc.ts';",
  'services/stock/src/domain/impure.ts': "import { readFile } from 'node:fs/promises';",
  'services/stock/src/domain/driven.ts':
    "const log = await import('../../../../packages/aggregates/src/aggregates.ts');",
  'services/stock/src/domain/library.ts': "import 'grpc';",
  'services/stock/src/domain/outward.ts': "import '../context.ts';",
};

let folder: string;
let reported: string[];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'boundaries-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const cruiser = resolve('node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const rules = resolve('.dependency-cruiser.js');
  const run = spawnSync(process.execPath, [cruiser, 'packages', 'services', 'apps', '--config', rules, '-T', 'json'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (!run.stdout) throw new Error(run.stderr);
  const result = JSON.parse(run.stdout) as {
    summary: { violations: { rule: { name: string }; from: string }[] };
  };
  reported = result.summary.violations.map(({ rule, from }) => `${rule.name} ${from}`).sort();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('reports every bad import under its rule, and no good one', () => {
  expect(reported).toEqual(
    [
      'layer-kernel packages/kernel/src/up.ts',
      'layer-eventlog packages/eventlog/src/up.ts',
      'layer-rpc packages/rpc/src/aside.ts',
      'not-declared packages/rpc/src/faked.ts',
      'not-declared packages/eventlog/src/undeclared.ts',
      'not-found packages/rpc/src/nowhere.ts',
      'testing-in-production packages/rpc/src/given.ts',
      'testing-in-production packages/rpc/src/tested.ts',
      'testing-in-production packages/rpc/src/helped.ts',
      'test-imported packages/rpc/src/other.test.ts',
      'package-imports-business packages/kernel/src/business.test.ts',
      'layer-missing packages/unheard-of/src/new.ts',
      'circle packages/kernel/src/egg.ts', // and hen.ts: a circle is reported once
      'context-imports-context services/stock/src/peer.ts',
      'context-imports-context services/stock/src/boss.ts',
      'app-imports-context apps/cli/src/shortcut.ts',
      'server-imports-app apps/server/src/commander.ts',
      'importer-is-a-client apps/importer/src/inside.ts',
      'domain-is-pure services/stock/src/domain/impure.ts',
      'domain-is-pure services/stock/src/domain/driven.ts',
      'domain-is-pure services/stock/src/domain/library.ts',
      'domain-is-pure services/stock/src/domain/outward.ts',
    ].sort(),
  );
});
