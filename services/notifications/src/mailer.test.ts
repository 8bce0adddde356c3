import { createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { logMailer, type Mail, type Mailer, smtpMailer } from './mailer.ts';

const mail: Mail = {
  id: 'n-1',
  to: 'anna@example.com',
  subject: 'Your order 536365 is on its way',
  text: 'Hello,\n\nIt has left our warehouse.\n',
};

const sender = { name: 'Caudal', address: 'orders@caudal.example' };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function open(port: number, timeoutMs = 5_000): Mailer {
  const mailer = smtpMailer({ url: `smtp://127.0.0.1:${port}`, from: sender, timeoutMs });
  cleanups.push(() => mailer.stop());
  return mailer;
}

/** An SMTP server that keeps the mails that it accepts. */
async function mailServer(options: SMTPServerOptions = {}) {
  const received: { to: string[]; content: string; smtpUtf8: boolean }[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, session, callback) {
      let content = '';
      stream.on('data', (data) => {
        content += data;
      });
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope;
        const smtpUtf8 = JSON.stringify(mailFrom).includes('SMTPUTF8');
        received.push({ to: rcptTo.map(({ address }) => address), content, smtpUtf8 });
        callback();
      });
    },
    ...options,
  });
  const listening = server.listen(0, '127.0.0.1');
  await new Promise((resolve) => listening.once('listening', resolve));
  cleanups.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return { port: (listening.address() as { port: number }).port, received };
}

const reply = (responseCode: number, message: string) => Object.assign(new Error(message), { responseCode });

test('a mail arrives: sender, receiver, subject, text, and the id that makes repeats recognisable', async () => {
  const { port, received } = await mailServer();
  const mailer = open(port);
  await expect(mailer.send(mail)).resolves.toEqual({ kind: 'accepted' });
  await mailer.send(mail);
  expect(received.map(({ to }) => to)).toEqual([['anna@example.com'], ['anna@example.com']]);
  for (const { content } of received) {
    expect(content).toContain('From: Caudal <orders@caudal.example>');
    expect(content).toContain('Message-ID: <n-1@caudal.example>');
    expect(content).toContain('Subject: Your order 536365 is on its way');
    expect(content).toContain('It has left our warehouse.');
  }
});

test('a line break in a subject does not make headers', async () => {
  const { port, received } = await mailServer();
  const evil = 'x\r\nBcc: everybody@example.com\r\n\r\nbody';
  await open(port).send({ ...mail, subject: evil });
  expect(received[0]!.to).toEqual(['anna@example.com']);
  expect(received[0]!.content).not.toMatch(/^(Bcc|body)/m);
});

test.each([
  // The DNS has a domain in ASCII, and every server takes that. (This one shows it as people read it.)
  ['anna@bücher.example', false],
  ['用户@例子.example', true],
])('a mail to %s arrives; SMTPUTF8 is needed: %s', async (address, smtpUtf8) => {
  const { port, received } = await mailServer();
  await expect(open(port).send({ ...mail, to: address })).resolves.toEqual({ kind: 'accepted' });
  expect(received.map((each) => [each.to, each.smtpUtf8])).toEqual([[[address], smtpUtf8]]);
});

test('a server that takes no local part outside ASCII refuses finally', async () => {
  const { port } = await mailServer({
    onRcptTo: ({ address }, _, callback) =>
      callback(/^\p{ASCII}*$/u.test(address) ? undefined : reply(553, 'mailbox name not allowed')),
  });
  const sent = open(port).send({ ...mail, to: '用户@例子.example' });
  await expect(sent).resolves.toEqual({ kind: 'rejected', reason: 'SMTP_553' });
});

test('a receiver that the server refuses finally is no failure of the server', async () => {
  const { port } = await mailServer({
    onRcptTo: (_, __, callback) => callback(reply(550, 'no such user <anna@example.com>')),
  });
  await expect(open(port).send(mail)).resolves.toEqual({ kind: 'rejected', reason: 'SMTP_550' });
});

test.each([
  ['refuses for now', 451],
  ['is out of service', 421],
])('a server that %s is unavailable, and its reply with the address is not in the error', async (_, code) => {
  const { port } = await mailServer({
    onRcptTo: (_address, _session, callback) => callback(reply(code, 'later <anna@example.com>')),
  });
  const error = await open(port)
    .send(mail)
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' });
  expect(String(error.cause)).toContain(String(code));
  expect(String(error.cause) + error.message).not.toContain('anna');
});

test('a wrong password counts as unavailable: the mail is not given up', async () => {
  const { port } = await mailServer({
    authOptional: false,
    allowInsecureAuth: true,
    onAuth: (_, __, callback) => callback(reply(535, 'wrong')),
  });
  const mailer = smtpMailer({ url: `smtp://user:wrong@127.0.0.1:${port}`, from: sender });
  cleanups.push(() => mailer.stop());
  await expect(mailer.send(mail)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});

test('no server: unavailable', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as { port: number };
  await new Promise((resolve) => taken.close(resolve));
  await expect(open(port).send(mail)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});

test('a server that never answers: unavailable, within the time-out', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await new Promise((resolve) => silent.once('listening', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const begun = performance.now();
  const mailer = open((silent.address() as { port: number }).port, 100);
  await expect(mailer.send(mail)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(performance.now() - begun).toBeLessThan(2_000);
});

test.each([
  [true, 'ABCDE'],
  [false, '***'],
])(
  'without a server the mail is written to the log, without the address; in development (%s) with codes',
  async (development, code) => {
    const lines: unknown[] = [];
    const mailer = logMailer({ development }, (fields) => lines.push(fields));
    const text = 'Hello,\n\nYours is anna@example.com, with ABCDE.\n';
    await expect(mailer.send({ ...mail, text, secret: 'ABCDE' })).resolves.toEqual({ kind: 'accepted' });
    expect(lines).toEqual([{ mail_id: 'n-1', subject: mail.subject, text: `Hello,\n\nYours is ***, with ${code}.\n` }]);
  },
);
