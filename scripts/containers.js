/** The test servers as containers, where a Docker engine answers. Testcontainers removes them even if this process is killed. */
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers';

/** Milliseconds that a server may take to start, its image at hand. */
const startup = 180_000;
const at = (container, port) => `${container.getHost()}:${container.getMappedPort(port)}`;

/** For each server: how its container is started. Gives it, with the variables by which clients find it. */
const containers = {
  postgres: async () => {
    const container = await new GenericContainer('postgres:17')
      .withEnvironment({ POSTGRES_HOST_AUTH_METHOD: 'trust' })
      // Speed, where only a crash of the machine could matter.
      .withCommand(['postgres', '-c', 'fsync=off', '-c', 'max_connections=300'])
      .withExposedPorts(5432)
      // The first time is that of the server which only sets up the database.
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
        // The management API's figures are at most a second old: tests wait for them.
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
    // Direct: the member's own address, 127.0.0.1:27017, is not the one outside the container.
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
};

/**
 * Starts these servers side by side, if a Docker engine answers. Gives the variables of those that started, by server, and
 * what stops them; says on standard error why another one did not start.
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
