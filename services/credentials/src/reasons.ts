/** The reasons that credentials answers with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  API_KEY_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no API key with this id.' },
  API_KEY_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is an API key with this id already.' },
  API_KEY_REVOKED: { code: 'FAILED_PRECONDITION', meaning: 'The API key was revoked. Make another one.' },
  API_KEY_EXPIRED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The API key has ended. Rotate it with an `expireTime`, or make another one.',
  },
  API_KEYS_TOO_MANY: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The owner has 100 API keys that count. Revoke one that is not used.',
  },
  API_KEY_ROTATING: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The secret before the last rotation still counts. Rotate after its end, or with an overlap of 0, which ends all other secrets.',
  },
  SECRET_NOT_REPEATED: {
    code: 'ALREADY_EXISTS',
    meaning:
      'An earlier call with this request_id has made the secret, and only its answer had it; `metadata.api_key_id` names the key. If the answer was lost, rotate the key without overlap.',
  },
  API_KEY_NOT_ALLOWED: {
    code: 'PERMISSION_DENIED',
    meaning: 'An API key manages no API keys and revokes nothing. Call with a token.',
  },
  SCOPE_EXCEEDED: {
    code: 'PERMISSION_DENIED',
    meaning:
      'An API key can have no permission that its creator lacks, and only who has all its permissions can rotate it; `metadata.permission` names the one that is missing.',
  },
  OWNER_ERASED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The customer of this id was erased: its API keys count no more, and none can be made.',
  },
  REVOCATIONS_FULL: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'As many revocations as the list holds have not ended. Revoke the subject instead of its tokens, or withdraw the key that signs them.',
  },
} satisfies Record<string, Reason>;
