/** One import of traces from file to report, over the gRPC port of a running system. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { TrackingServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { createProgress } from '@caudal/importer/progress.ts';
import { importTraces, type TracesReport } from '@caudal/importer/traces/import-traces.ts';
import type { TraceDefaults } from '@caudal/importer/traces/read-trace.ts';
import { readTraces } from '@caudal/importer/traces/read-traces.ts';
import { sendTraces } from '@caudal/importer/traces/send-traces.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { CallTls } from '@caudal/rpc/client/call-tls.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import type { TokenSource } from '@caudal/rpc/server/tokens.ts';
import { say, sayJson } from './output.ts';

export interface ImportTracesFileOptions extends TraceDefaults {
  file: string;
  format: 'csv' | 'ndjson';
  address: string;
  /** Returns the token for the calls; undefined if the system needs none. */
  auth: TokenSource | undefined;
  tls: CallTls | undefined;
  /** Calls in flight. */
  concurrency: number;
  /** One JSON object instead of the report for people. */
  json: boolean;
  signal: AbortSignal;
}

const perKib = 1_024;

/** Imports the file and prints the report. Returns whether every line was taken. */
export async function importTracesFile(options: ImportTracesFileOptions): Promise<boolean> {
  const { file, format, address, auth, tls, concurrency, json, signal, carrier, zone } = options;
  const { size } = await stat(file);
  const tracking = connect(TrackingServiceService, { address, auth, tls });
  const progress = createProgress({ stream: process.stderr, clock: systemClock });
  const total = Math.ceil(size / perKib);
  try {
    const report = await importTraces({
      lines: readTraces({
        chunks: createReadStream(file),
        format,
        ...(carrier !== undefined && { carrier }),
        ...(zone !== undefined && { zone }),
        onProgress: (bytes) => progress.update({ step: 'KiB', done: Math.ceil(bytes / perKib), total }),
      }),
      send: (traces) => sendTraces(tracking, traces),
      concurrency,
      clock: systemClock,
      signal,
    });
    progress.stop();
    if (json) sayJson(report);
    else sayReport(report);
    return report.refused === 0 && !report.interrupted;
  } finally {
    progress.stop();
    tracking.close();
  }
}

function sayReport({ lines, accepted, duplicates, refused, problems, interrupted }: TracesReport): void {
  say(`${lines} lines: ${accepted} accepted, ${duplicates} twice in a call, ${refused} refused.`);
  for (const { line, field, problem } of problems) say(`  line ${line}${field ? `, ${field}` : ''}: ${problem}`);
  if (refused > problems.length) say(`  and ${refused - problems.length} more`);
  if (interrupted) say('It was interrupted. It may be started again: what is known already changes nothing.');
}
