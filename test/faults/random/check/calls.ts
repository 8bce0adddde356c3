/** The answers to calls: never an internal error of the server, and never none while the process could answer. */
import type { Attempt } from '../history.ts';
import type { Absence } from '../nemesis.ts';

export interface CallsReport {
  found: string[];
  /** The number of calls by status; 0 for those without an answer. */
  byStatus: Record<string, number>;
  slowestMs: number;
}

export interface CallCheck {
  report: CallsReport;
  see(call: Attempt & { method: string }): void;
  /** Calls without an answer although the process was not stopped during the call. */
  unexcused(absences: Absence[]): string[];
}

export function checkCalls(): CallCheck {
  const report: CallsReport = { found: [], byStatus: {}, slowestMs: 0 };
  const unanswered: (Attempt & { method: string })[] = [];
  return {
    report,
    see(call) {
      const { status, reason, method, part } = call;
      report.byStatus[status] = (report.byStatus[status] ?? 0) + 1;
      if (status > 0) report.slowestMs = Math.max(report.slowestMs, call.ended - call.began);
      if (status >= 500 && ![503, 504].includes(status)) report.found.push(`${method} at ${part}: ${status} ${reason}`);
      if (reason === 'no answer') unanswered.push(call);
    },
    unexcused: (absences) =>
      unanswered
        .filter(
          ({ part, began, ended }) =>
            !absences.some((away) => away.part === part && away.began <= ended && away.ended >= began),
        )
        .map(
          ({ method, part, began }) =>
            `${method} at ${part} was never answered, ${(began / 1_000).toFixed(1)} s into the run`,
        ),
  };
}
