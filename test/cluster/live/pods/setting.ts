/**
 * The variables of the tests' pods. The pods run in Caudal's image, under /app, so that they can import its packages.
 */

/** The variable's value. Throws if it is not set. */
export function setting(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} is not set.`);
  return value;
}

/** The gRPC addresses of the workloads: headless Services, over whose pods a client balances. */
export const addresses = {
  command: `dns:///${setting('RELEASE')}-command-grpc:9090`,
  query: `dns:///${setting('RELEASE')}-query-grpc:9090`,
};

export const auth = async () => setting('TOKEN');
