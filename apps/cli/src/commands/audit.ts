/** `caudal audit`: exports the audit log, and verifies that it is unchanged. docs/audit.md */
import { createReadStream, createWriteStream } from 'node:fs';
import { stat, truncate } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { type ChainEnd, parseCheckpoint, readEnd } from '@caudal/audit/chain.ts';
import { recordOf, selectFrom } from '@caudal/audit/read.ts';
import { type Verified, verifyChain } from '@caudal/audit/verify.ts';
import { createProgress } from '@caudal/importer/progress.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { App } from '@caudal/server/app.ts';
import { Command, InvalidArgumentError } from 'commander';
import { count } from '../arguments.ts';
import { say, sayJson } from '../output.ts';
import { UsageError } from '../usage.ts';
import { withApp } from '../with-app.ts';

const pageSize = 2_000;
/** How each line of an export begins. */
const beginning = '{"position":';

export function auditCommand(): Command {
  return new Command('audit')
    .description('export and verify the audit log: who did what')
    .addCommand(verifyCommand())
    .addCommand(
      new Command('checkpoint')
        .description("print where the audit log ends, to be kept where the owner of the database can't write")
        .addHelpText('after', '\nExample: caudal audit checkpoint >> /mnt/elsewhere/checkpoints')
        .action(() =>
          withApp(async (system) => {
            const { position, hash } = await readEnd(databaseOf(system));
            if (position === 0) throw new Error('The audit log is empty.');
            say(`${position}:${hash.toString('hex')}`);
          }),
        ),
    )
    .addCommand(exportCommand());
}

const databaseOf = ({ locals }: App) => locals[0]!.database;

function checkpoint(text: string, before: ChainEnd[] = []): ChainEnd[] {
  const parsed = parseCheckpoint(text);
  if (!parsed) throw new InvalidArgumentError('It must be POSITION:HASH, as "caudal audit checkpoint" prints it.');
  return [...before, parsed];
}

function verifyCommand(): Command {
  return new Command('verify')
    .description('compute the chain of the audit log anew, and name the first record that is not right')
    .option('--checkpoint <position:hash>', 'the chain must lead through it; may be repeated', checkpoint)
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
It is safe to run while the system runs. Without a checkpoint it can't be seen that the end of the log was cut off, or that all of it
was written anew. Exit codes: 0 it is whole; 3 a record is missing or was changed; 4 of a checkpoint nothing can be said, since it is
older than what is kept, or a fail-over came after it; 1 it could not be verified.

Example: caudal audit verify --checkpoint 4711:9f2c...`,
    )
    .action(({ checkpoint: checkpoints = [], json = false }: { checkpoint?: ChainEnd[]; json?: boolean }) =>
      withApp(async (system) => {
        const display = createProgress({ stream: process.stderr, clock: systemClock });
        const verified = await verifyChain({
          ...{ database: databaseOf(system), checkpoints, signal: system.lifecycle.ending },
          onProgress: (progress) => display.update({ step: 'audit log', ...progress }),
        }).finally(() => display.stop());
        tell(verified, json);
        process.exitCode = verified.broken ? 3 : verified.unknown.length > 0 ? 4 : 0;
      }),
    );
}

function tell({ records, after, end, broken, unknown, movedAt }: Verified, json: boolean): void {
  const last = `${end.position}:${end.hash.toString('hex')}`;
  if (json) {
    sayJson({ right: broken === undefined, records, after, end: last, broken: broken ?? null, unknown, movedAt });
    return;
  }
  for (const position of movedAt)
    say(`From record ${position} on another server or timeline has written: a fail-over or a restore.`);
  for (const { position, problem } of unknown) say(`The checkpoint at ${position} ${problem}.`);
  if (broken) say(`Record ${broken.position} ${broken.problem}. ${records} records before it are right.`);
  else
    say(
      `${records} records are right${after > 0 ? `, after ${after}, up to which they were dropped` : ''}. The end is ${last}`,
    );
}

function exportCommand(): Command {
  return new Command('export')
    .description('write the records of the audit log as JSON lines, the oldest first')
    .option('--to <file>', 'append to this file, after the last record that is whole in it; standard output if absent')
    .option('--from <position>', 'the first record; not together with --to', count)
    .addHelpText(
      'after',
      `
With --to it goes on where an earlier export into the file has ended, also if that was interrupted.

Example: caudal audit export --to audit.jsonl`,
    )
    .action(({ to, from }: { to?: string; from?: number }) => {
      if (to !== undefined && from !== undefined) throw new UsageError('Give --to or --from, not both.');
      return withApp((system) => (to === undefined ? exportToOutput(system, from ?? 1) : exportToFile(system, to)), {
        name: 'audit export',
        resource: to ?? '',
      });
    });
}

async function* linesFrom(system: App, first: number): AsyncGenerator<string> {
  const database = databaseOf(system);
  const display = createProgress({ stream: process.stderr, clock: systemClock });
  try {
    const total = (await readEnd(database)).position;
    let after = first - 1;
    for (;;) {
      if (system.lifecycle.ending.aborted) return;
      const page = await selectFrom(database, { after, limit: pageSize });
      const last = page.at(-1);
      if (!last) return;
      yield page.map((row) => `${JSON.stringify(lineOf(recordOf(row)))}\n`).join('');
      after = last.position;
      // What is added meanwhile is for the next export.
      display.update({ step: 'audit log', done: Math.min(after, total), total });
      if (after >= total) return;
    }
  } finally {
    display.stop();
  }
}

function lineOf({ hash, position, ...record }: ReturnType<typeof recordOf>) {
  return { position, ...record, hash: hash.toString('hex') };
}

async function exportToOutput(system: App, first: number): Promise<void> {
  for await (const lines of linesFrom(system, first)) process.stdout.write(lines);
}

async function exportToFile(system: App, file: string): Promise<void> {
  const { bytes, position } = await wholeLines(file);
  await truncate(file, bytes).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  const stream = createWriteStream(file, { flags: 'a', mode: 0o600 });
  let written = 0;
  try {
    for await (const lines of linesFrom(system, position + 1)) {
      written += lines.split('\n').length - 1;
      if (!stream.write(lines)) await new Promise<void>((resolve) => stream.once('drain', resolve));
    }
  } finally {
    stream.end();
    await finished(stream);
  }
  say(`${written} records were added to ${file}.`);
}

/** Up to where the file has whole records, and the position of the last one. */
async function wholeLines(file: string): Promise<{ bytes: number; position: number }> {
  const found = await stat(file).catch(() => undefined);
  if (!found) return { bytes: 0, position: 0 };
  let bytes = 0;
  let position = 0;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    const end = bytes + Buffer.byteLength(line) + 1;
    const isWhole = end <= found.size;
    const read = isWhole ? positionIn(line) : undefined;
    if (read === undefined) {
      // The last line of an export that was interrupted. It is cut off, so it must be one of these.
      if (!isWhole && (line.startsWith(beginning) || beginning.startsWith(line))) break;
      throw new UsageError(
        `${file} is no export of the audit log: byte ${bytes} begins no record. Choose another file.`,
      );
    }
    bytes = end;
    position = read;
  }
  return { bytes, position };
}

function positionIn(line: string): number | undefined {
  try {
    const { position } = JSON.parse(line) as { position?: unknown };
    return typeof position === 'number' ? position : undefined;
  } catch {
    return undefined;
  }
}
