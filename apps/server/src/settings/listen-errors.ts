/** Errors of listeners, worded for the operator: which setting to change. */
import { ConfigError, type Problem } from '@caudal/config/config.ts';
import type { RuntimeValues } from './settings.ts';

const portNames = ['CAUDAL_GRPC_PORT', 'CAUDAL_REST_PORT', 'CAUDAL_METRICS_PORT'] as const;

/** Handles an error of listening: throws a ConfigError that names the setting, or any other error unchanged. */
export function atPorts(values: RuntimeValues): (error: unknown) => never {
  return (error) => {
    const problem = problemOf(values, error as Error);
    throw problem ? new ConfigError([problem]) : error;
  };
}

interface ListenError extends Error {
  code?: string;
  port?: number;
}

function problemOf(values: RuntimeValues, error: ListenError): Problem | undefined {
  // The error of /metrics has it as its cause.
  const { code, port } = (error.cause ?? error) as ListenError;
  const name = portNames.find((each) => values[each] === port && port !== undefined);
  const host = values.CAUDAL_HOST;
  if (code === 'EADDRINUSE' && name) {
    const fix = `Stop what listens there ("ss -ltnp" shows it), or set ${name} to a free port`;
    return { name, wrong: `${host}:${port} is in use already`, fix };
  }
  if (code === 'EACCES' && name) {
    const fix = `Set ${name} to a port from 1024 on: lower ports are for privileged users`;
    return { name, wrong: `this process may not listen on ${host}:${port}`, fix };
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    const fix = 'Set it to an address of this machine, or to 0.0.0.0 for all its addresses';
    return { name: 'CAUDAL_HOST', wrong: `"${host}" is no address of this machine`, fix };
  }
  return undefined;
}
