/** What the audit log holds: docs/audit.md. */

/**
 * `ACT`: what an operator changes; `PERSONAL`: a read of others' personal data; `DENIAL`: a refused call; `COMMAND`: of the command line;
 * `RETENTION`: a month was dropped.
 */
export const kinds = ['ACT', 'PERSONAL', 'DENIAL', 'COMMAND', 'RETENTION'] as const;
export type Kind = (typeof kinds)[number];

/** An outcome that is no reason of an error. `BEGUN`: written before the work; the outcome has a record of its own. */
export const outcomes = { begun: 'BEGUN', done: 'OK', lost: 'LOST', several: 'SEVERAL' } as const;

/** A record, before it is written. Texts may be empty. */
export interface AuditEntry {
  kind: Kind;
  subject: string;
  /** The id of the token or key, never the secret. */
  credential: string;
  address: string;
  requestId: string;
  /** `caudal.payments.v1.WalletService/Deposit`, or `caudal rebuild`. */
  method: string;
  /** What it was about: `w-17`. */
  resource: string;
  /** Of `outcomes`, or the reason of the error. */
  outcome: string;
  /** Why, in the caller's words. */
  reason: string;
  /** What it has changed: `payments.wallet/w-17@12`, streams with their versions. */
  wrote: string;
  /** An act of which callers do as many as they like. Not stored: such acts are counted above a bound. */
  bounded?: true;
}

export const emptyEntry: Omit<AuditEntry, 'kind' | 'outcome'> = {
  ...{ subject: '', credential: '', address: '', requestId: '', method: '', resource: '', reason: '', wrote: '' },
};

/** A record of the log. */
export interface AuditRecord extends AuditEntry {
  /** Its number: without a gap, in the order in which records were written. */
  position: number;
  /** By the clock of the process. */
  time: Date;
  /** By the database's clock. */
  recordedAt: Date;
  /** For how many calls it stands. */
  count: number;
  /** The database session that wrote it: role, address, name. */
  writer: string;
  hash: Buffer;
}
