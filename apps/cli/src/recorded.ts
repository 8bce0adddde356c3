/** Records commands in the audit log: docs/audit.md. */
import { hostname, userInfo } from 'node:os';
import type { Recorder } from '@caudal/audit/recorder.ts';
import { type AuditEntry, outcomes } from '@caudal/audit/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { RuntimeValues } from '@caudal/server/settings/settings.ts';

export interface RecordedCommand {
  /** `rebuild`, as it is called after `caudal`. */
  name: string;
  /** What it is about, if it is about one thing. */
  resource?: string;
}

/** Who runs the command, as far as the system tells. */
function subject(): string {
  let user: string;
  try {
    user = userInfo().username;
  } catch {
    // A container's user need not have a name.
    user = `uid ${process.getuid?.() ?? ''}`.trim();
  }
  return `cli:${user}@${hostname()}`;
}

/** Records that the command begins, before it does, and how it ends. If that can't be recorded, it does not begin. */
export async function recorded<T>(
  { audit, values }: { audit: Recorder; values: Pick<RuntimeValues, 'CAUDAL_AUDIT_REASON'> },
  { name, resource = '' }: RecordedCommand,
  work: () => Promise<T>,
): Promise<T> {
  const entry: Omit<AuditEntry, 'outcome'> = {
    ...{ kind: 'COMMAND', subject: subject(), credential: '', address: '', requestId: newId() },
    ...{ method: `caudal ${name}`, resource, reason: values.CAUDAL_AUDIT_REASON ?? '', wrote: '' },
  };
  await audit.write({ ...entry, outcome: outcomes.begun });
  try {
    const result = await work();
    audit.note({ ...entry, outcome: process.exitCode ? `EXIT_${process.exitCode}` : outcomes.done });
    return result;
  } catch (error) {
    audit.note({ ...entry, outcome: error instanceof CaudalError ? error.reason : 'FAILED' });
    throw error;
  }
}
