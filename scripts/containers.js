/**
 * The test servers as containers, if a Docker engine answers. Testcontainers removes them even if this process is
 * killed.
 */
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers';

/** Milliseconds within which a server must start after its image has been pulled. */
const startup = 180_000;
const at = (container, port) => `${container.getHost()}:${container.getMappedPort(port)}`;

/** For each server: starts its container. Returns the container, and the variables with its URLs. */
const containers = {
  postgres: async () => {
    const container = await new GenericContainer('postgres:17')
      .withEnvironment({ POSTGRES_HOST_AUTH_METHOD: 'trust' })
      // fsync only protects against a crash of the machine; without it tests are faster.
      .withCommand(['postgres', '-c', 'fsync=off', '-c', 'max_connections=300'])
      .withExposedPorts(5432)
      // The first time this is logged by a temporary server, which only sets up the database.
      .withWaitStrategy(Wait.forLogMessage(/database system is ready to accept connections/, 2))
      .withStartupTimeout(startup)
      .start();
    return [container, { POSTGRES_URL: `postgres://postgres@${at(container, 5432)}/postgres` }];
  },

  rabbitmq: async () => {
    const plugins = '[rabbitmq_management, rabbitmq_prometheus, rabbitmq_consistent_hash_exchange].\n';
    const container = await new GenericContainer('rabbitmq:4.1-management')
      .withCopyContentToContainer([
        { content: plugins, target: '/etc/rabbitmq/enabled_plugins' },
        // The management API's figures are at most a second old, because tests wait for them.
        { content: 'collect_statistics_interval = 1000\n', target: '/etc/rabbitmq/conf.d/20-caudal.conf' },
      ])
      .withExposedPorts(5672, 15672, 15692)
      .withWaitStrategy(Wait.forLogMessage(/Server startup complete/))
      .withStartupTimeout(startup)
      .start();
    return [
      container,
      {
        RABBITMQ_URL: `amqp://guest:guest@${at(container, 5672)}`,
        RABBITMQ_MANAGEMENT_URL: `http://guest:guest@${at(container, 15672)}`,
        RABBITMQ_PROMETHEUS_URL: `http://${at(container, 15692)}/metrics`,
      },
    ];
  },

  mongodb: async () => {
    const container = await new GenericContainer('mongo:8.0')
      .withCommand(['mongod', '--replSet', 'caudal', '--bind_ip_all', '--setParameter', 'enableTestCommands=1'])
      .withExposedPorts(27017)
      .withWaitStrategy(Wait.forLogMessage(/Waiting for connections/))
      .withStartupTimeout(startup)
      .start();
    const script = `rs.initiate({ _id: 'caudal', members: [{ _id: 0, host: '127.0.0.1:27017' }] });
      while (!db.hello().isWritablePrimary) sleep(50);`;
    const { exitCode, output } = await container.exec(['timeout', '60', 'mongosh', '--quiet', '--eval', script]);
    if (exitCode !== 0) throw new Error(`The replica set could not be initiated: ${output}`);
    // Direct: the replica set gives its member's address as 127.0.0.1:27017, which is wrong outside the container.
    return [container, { MONGODB_URL: `mongodb://${at(container, 27017)}/?directConnection=true` }];
  },

  elasticsearch: async () => {
    const container = await new GenericContainer('docker.elastic.co/elasticsearch/elasticsearch:8.19.9')
      .withEnvironment({
        'discovery.type': 'single-node',
        'xpack.security.enabled': 'false',
        'cluster.routing.allocation.disk.threshold_enabled': 'false',
        ES_JAVA_OPTS: '-Xms512m -Xmx512m',
      })
      .withExposedPorts(9200)
      .withWaitStrategy(Wait.forHttp('/_cluster/health?wait_for_status=yellow', 9200))
      .withStartupTimeout(startup)
      .start();
    return [container, { ELASTICSEARCH_URL: `http://${at(container, 9200)}` }];
  },

  redis: async () => {
    const container = await new GenericContainer('redis:7.4')
      .withCommand(['redis-server', '--save', '', '--appendonly', 'no'])
      .withExposedPorts(6379)
      .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
      .withStartupTimeout(startup)
      .start();
    return [container, { REDIS_URL: `redis://${at(container, 6379)}` }];
  },

  s3: async () => {
    const container = await new GenericContainer('motoserver/moto:5.2.5')
      .withExposedPorts(5000)
      .withWaitStrategy(Wait.forListeningPorts())
      .withStartupTimeout(startup)
      .start();
    return [container, { S3_URL: `http://${at(container, 5000)}` }];
  },
};

/**
 * Starts these servers in parallel, if a Docker engine answers. Returns the variables of the started servers, by
 * server, and a function that stops them. If a server does not start, it writes the reason to standard error.
 */
export async function startContainers(names) {
  const running = [];
  const variables = {};
  const stop = async () => {
    await Promise.all(running.map((container) => container.stop()));
  };
  try {
    await getContainerRuntimeClient();
  } catch {
    return { variables, stop };
  }
  await Promise.all(
    names.map(async (name) => {
      try {
        const [container, found] = await containers[name]();
        running.push(container);
        variables[name] = found;
      } catch (error) {
        console.error(`No container for ${name}: ${error.message}`);
      }
    }),
  );
  return { variables, stop };
}
