/** Sends mail by SMTP, or writes it to the log in development. */

import { asciiDomainOf } from '@caudal/contract/mail-address.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { withSpan } from '@caudal/telemetry/spans.ts';
import { createTransport } from 'nodemailer';
import type { Sender } from './sender.ts';

export interface Mail {
  /** The same for every attempt at this mail. */
  id: string;
  /** The address alone: a name would be what its owner wrote. */
  to: string;
  subject: string;
  text: string;
  /** What of the text only the receiver may know. */
  secret?: string;
}

/** 'rejected': the server refuses it finally. `reason` contains no personal data, unlike the server's own reply. */
export type MailOutcome = { kind: 'accepted' } | { kind: 'rejected'; reason: string };

export interface Mailer extends Running {
  /**
   * Sends a mail, within 30 s. If an answer is lost it is sent twice, with the same Message-ID. Fails with UNAVAILABLE
   * if the server is unreachable, takes too long, or refuses for now (4xx).
   */
  send(mail: Mail): Promise<MailOutcome>;
}

export interface SmtpOptions {
  /** `smtp://user:password@host:587`, or `smtps://` for TLS from the start; `?requireTLS=true` insists on STARTTLS. */
  url: string;
  from: Sender;
  /** How long a mail may take in all, in milliseconds; 30,000 if absent. */
  timeoutMs?: number;
}

const log = logger('mailer');

/** The error without the server's own reply, which repeats the address. */
function withoutAddress(error: unknown): Error {
  const { code = 'error', responseCode, message } = error as { code?: string; responseCode?: number; message: string };
  return new Error(responseCode === undefined ? message : `${code}, SMTP reply ${responseCode}`);
}

/** The reply code of a final refusal of this mail; undefined for other errors, which are transient. */
function permanentRefusal(error: unknown): number | undefined {
  const { code, responseCode } = error as { code?: string; responseCode?: number };
  const aboutThisMail = code === 'EENVELOPE' || code === 'EMESSAGE';
  return aboutThisMail && responseCode !== undefined && responseCode >= 500 ? responseCode : undefined;
}

/** A mailer over SMTP. One connection per mail; the caller bounds how many are in flight. */
export function smtpMailer({ url, from, timeoutMs = 30_000 }: SmtpOptions): Mailer {
  const transport = createTransport({
    url,
    dnsTimeout: 5_000,
    connectionTimeout: Math.min(5_000, timeoutMs),
    greetingTimeout: Math.min(5_000, timeoutMs),
    socketTimeout: Math.min(10_000, timeoutMs),
    // A mail is text that this process has written: it never needs files or URLs.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const domain = asciiDomainOf(from.address);

  const attempt = async ({ id, to, subject, text }: Mail): Promise<MailOutcome> => {
    try {
      await transport.sendMail({ from, to: { name: '', address: to }, subject, text, messageId: `<${id}@${domain}>` });
      return { kind: 'accepted' };
    } catch (error) {
      const refusal = permanentRefusal(error);
      if (refusal !== undefined) return { kind: 'rejected', reason: `SMTP_${refusal}` };
      throw unavailable('the mail server', withoutAddress(error));
    }
  };

  const within = async (mail: Mail): Promise<MailOutcome> => {
    const done = new AbortController();
    const late = sleep(timeoutMs, done.signal).then((): MailOutcome => {
      throw unavailable('the mail server', new Error(`no answer within ${timeoutMs} ms`));
    });
    const sent = attempt(mail);
    // The loser of the race may still fail: mark its error as handled.
    for (const outcome of [late, sent]) outcome.catch(() => {});
    return Promise.race([sent, late]).finally(() => done.abort());
  };
  const inFlight = new Set<Promise<MailOutcome>>();

  return {
    send(mail) {
      const attributes = { 'messaging.operation.type': 'send', 'messaging.message.id': mail.id };
      const sending = withSpan('send mail', { kind: 'client', attributes }, () => within(mail));
      inFlight.add(sending);
      return sending.finally(() => inFlight.delete(sending));
    },
    async stop() {
      await Promise.allSettled(inFlight);
      transport.close();
    },
  };
}

/** A mailer without a server: writes the mail to the log, without the address, and secrets only in development. */
export function logMailer(
  { development }: { development: boolean },
  write: (fields: object, message: string) => void = log.info.bind(log),
): Mailer {
  return {
    async send({ id, to, subject, text, secret }) {
      const hidden = [to, ...(secret && !development ? [secret] : [])];
      const hide = (words: string) => hidden.reduce((shown, part) => shown.replaceAll(part, '***'), words);
      write({ mail_id: id, subject: hide(subject), text: hide(text) }, 'a mail (no mail server is configured)');
      return { kind: 'accepted' };
    },
    async stop() {},
  };
}
