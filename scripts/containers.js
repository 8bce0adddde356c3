/** The test servers as containers, where a Docker engine answers. Testcontainers removes them, even if this process is killed. */
import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers';

const startup = 180_000;

/** For each server: how its container is started, and the variables by which clients find it. */
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
    return { POSTGRES_URL: `postgres://postgres@${container.getHost()}:${container.getMappedPort(5432)}/postgres` };
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
    const at = (port) => `${container.getHost()}:${container.getMappedPort(port)}`;
    return {
      RABBITMQ_URL: `amqp://guest:guest@${at(5672)}`,
      RABBITMQ_MANAGEMENT_URL: `http://guest:guest@${at(15672)}`,
      RABBITMQ_PROMETHEUS_URL: `http://${at(15692)}/metrics`,
    };
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
    return { MONGODB_URL: `mongodb://${container.getHost()}:${container.getMappedPort(27017)}/?directConnection=true` };
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
    return { ELASTICSEARCH_URL: `http://${container.getHost()}:${container.getMappedPort(9200)}` };
  },

  redis: async () => {
    const container = await new GenericContainer('redis:7.4')
      .withCommand(['redis-server', '--save', '', '--appendonly', 'no'])
      .withExposedPorts(6379)
      .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
      .withStartupTimeout(startup)
      .start();
    return { REDIS_URL: `redis://${container.getHost()}:${container.getMappedPort(6379)}` };
  },
};

/**
 * Starts these servers side by side, if a Docker engine answers. Gives the variables of those that started, by server;
 * says on standard error why another one did not.
 */
export async function startContainers(names) {
  try {
    await getContainerRuntimeClient();
  } catch {
    return {};
  }
  const started = {};
  await Promise.all(
    names.map(async (name) => {
      try {
        started[name] = await containers[name]();
      } catch (error) {
        console.error(`No container for ${name}: ${error.message}`);
      }
    }),
  );
  return started;
}
