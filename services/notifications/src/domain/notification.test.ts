import { NotificationRequested } from '@caudal/contract/gen/caudal/notifications/v1/events.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import {
  delay,
  markFailed,
  markSent,
  type NotificationEvent,
  notificationDecider,
  notificationIdFor,
  postpone,
  request,
} from './notification.ts';

const id = notificationIdFor('A-1', 'order_shipped');
const wanted = NotificationRequested.fromPartial({
  notificationId: id,
  customerId: 'anna',
  template: 'order_shipped',
  orderId: 'A-1',
});
const requested: NotificationEvent = { $case: 'requested', value: wanted };
const sent: NotificationEvent = { $case: 'sent', value: {} };
const failed = (reason: string): NotificationEvent => ({ $case: 'failed', value: { reason } });
const midnight = new Date('2026-01-01T00:00:00Z');
const after = (minutes: number) => new Date(midnight.getTime() + minutes * 60_000);
const delayed = (attempt: number, minutes: number): NotificationEvent => ({
  $case: 'delayed',
  value: { attempt, error: 'SMTP_451', dueTime: after(minutes) },
});
const nothing: NotificationEvent[] = [];

describe('a request', () => {
  test('is recorded once', () =>
    given(notificationDecider, [])
      .when((state) => request(state, wanted))
      .gives([requested]));
  test.each([[[requested]], [[requested, sent]], [[requested, failed('NO_ADDRESS')]]])(
    'changes nothing if it is repeated (%#)',
    (events) =>
      given(notificationDecider, events)
        .when((state) => request(state, wanted))
        .gives(nothing),
  );
  test('the id follows from order and template', () => {
    expect(notificationIdFor('A-1', 'order_shipped')).toBe(id);
    expect(notificationIdFor('A-1', 'order_delivered')).not.toBe(id);
  });
});

describe('the outcome', () => {
  test('sent', () =>
    given(notificationDecider, [requested])
      .when((state) => markSent(state, id))
      .gives([sent]));
  test('sent after a delay', () =>
    given(notificationDecider, [requested, delayed(1, 1)])
      .when((state) => markSent(state, id))
      .gives([sent]));
  test('failed', () =>
    given(notificationDecider, [requested])
      .when((state) => markFailed(state, id, 'SMTP_550'))
      .gives([failed('SMTP_550')]));
  test.each([[[requested, sent]], [[requested, failed('SMTP_550')]]])('is recorded once (%#)', (events) => {
    const notification = given(notificationDecider, events);
    notification.when((state) => markSent(state, id)).gives(nothing);
    notification.when((state) => markFailed(state, id, 'SMTP_550')).gives(nothing);
    notification.when((state, context) => delay(state, context, id, 'SMTP_451'), after(1)).gives(nothing);
  });
});

describe('a delayed mail', () => {
  const tryAgain = (events: NotificationEvent[], minutes: number) =>
    given(notificationDecider, events).when((state, context) => delay(state, context, id, 'SMTP_451'), after(minutes));

  test('is tried again after a minute, then after growing pauses', () => {
    tryAgain([requested], 0).gives([delayed(1, 1)]);
    tryAgain([requested, delayed(1, 1)], 1).gives([delayed(2, 6)]);
    tryAgain([requested, delayed(5, 100)], 100).gives([delayed(6, 820)]);
  });
  test('is not counted again for an attempt that is recorded already', () => {
    tryAgain([requested, delayed(1, 1)], 0.5).gives(nothing);
  });
  test('is given up after the last pause', () => {
    tryAgain([requested, delayed(6, 820)], 820).gives([failed('GAVE_UP: SMTP_451')]);
  });
  test('has a due time until it ends', () => {
    expect(given(notificationDecider, [requested, delayed(2, 6)]).state).toMatchObject({
      status: 'delayed',
      attempts: 2,
      dueAt: after(6),
    });
    expect(given(notificationDecider, [requested, delayed(2, 6), sent]).state.dueAt).toBeUndefined();
  });
});

describe('a mail above the bound of its customer', () => {
  const wait = (events: NotificationEvent[], minutes: number) =>
    given(notificationDecider, events).when(
      (state, context) => postpone(state, context, id, 'MAILS_TOO_MANY'),
      after(minutes),
    );
  const postponed = (attempt: number, minutes: number): NotificationEvent => ({
    $case: 'delayed',
    value: { attempt, error: 'MAILS_TOO_MANY', dueTime: after(minutes) },
  });

  test('waits without an attempt, and is given up after a day', () => {
    wait([requested], 0).gives([postponed(0, 10)]);
    wait([requested, delayed(2, 6)], 6).gives([postponed(2, 16)]);
    wait([requested, delayed(2, 6)], 5).gives(nothing);
    wait([requested, sent], 0).gives(nothing);
  });
});

test('an unknown notification has no outcome', () => {
  const none = given(notificationDecider, []);
  none.when((state) => markSent(state, id)).refuses('NOT_FOUND', 'NOTIFICATION_NOT_FOUND');
  none.when((state) => markFailed(state, id, 'x')).refuses('NOT_FOUND', 'NOTIFICATION_NOT_FOUND');
  none.when((state, context) => delay(state, context, id, 'x')).refuses('NOT_FOUND', 'NOTIFICATION_NOT_FOUND');
});

test('the customer owns it', () => {
  expect(notificationDecider.owner?.(given(notificationDecider, [requested]).state)).toBe('anna');
  expect(notificationDecider.owner?.(notificationDecider.initial)).toBeUndefined();
});
