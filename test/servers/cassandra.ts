import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { needDebian, needMaven } from './install.ts'
import { freePort, makeFolder, startServer, type Server } from './server.ts'

export interface CassandraServer extends Server {
  readonly port: number
  /** The address with the account that every new cluster has. */
  readonly url: string
}

const version = '5.0.5'
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>naru.test</groupId><artifactId>cassandra</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>${version}</version></dependency>
  </dependencies>
</project>
`

/** Fetches Cassandra when it is missing, and starts one node on loopback with passwords and a small heap. */
export async function startCassandra(): Promise<CassandraServer> {
  needDebian('openjdk-17-jre-headless')
  const jars = needMaven(`cassandra-${version}`, pom)
  const folder = makeFolder('cassandra')
  const [port, storagePort] = [await freePort(), await freePort()]
  const conf = path.join(folder, 'conf')
  mkdirSync(conf)
  writeFileSync(path.join(conf, 'cassandra.yaml'), configuration(folder, port, storagePort))
  // Cassandra makes its first account some seconds after it answers: the test's first login waits for it.
  const server = await startServer('java', javaArguments(folder, conf, jars), { ready: port, readyMsMax: 240_000 })
  const stop = async (): Promise<void> => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  return { ...server, port, url: `cassandra://cassandra:cassandra@127.0.0.1:${port}/`, stop }
}

function configuration(folder: string, port: number, storagePort: number): string {
  return `cluster_name: naru
num_tokens: 4
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_directory: ${folder}/commitlog
data_file_directories: [ ${folder}/data ]
saved_caches_directory: ${folder}/caches
hints_directory: ${folder}/hints
cdc_raw_directory: ${folder}/cdc
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
start_native_transport: true
native_transport_port: ${port}
storage_port: ${storagePort}
endpoint_snitch: SimpleSnitch
seed_provider: [ { class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [ { seeds: "127.0.0.1:${storagePort}" } ] } ]
`
}

const opens = [
  ...['io', 'lang.module', 'lang', 'math', 'net', 'nio', 'util', 'util.concurrent', 'util.concurrent.atomic'].map(
    name => `java.base/java.${name}`,
  ),
  ...['loader', 'ref', 'reflect', 'math', 'module', 'util.jar'].map(name => `java.base/jdk.internal.${name}`),
  'jdk.management/com.sun.management.internal',
  'java.base/sun.nio.ch',
  'java.rmi/sun.rmi.transport.tcp',
]
const exports = [
  'java.base/jdk.internal.misc',
  'java.base/jdk.internal.ref',
  'java.base/sun.nio.ch',
  'java.management.rmi/com.sun.jmx.remote.internal.rmi',
  'java.rmi/sun.rmi.registry',
  'java.rmi/sun.rmi.server',
  'java.rmi/sun.rmi.transport.tcp',
  'java.sql/java.sql',
]

function javaArguments(folder: string, conf: string, jars: string): readonly string[] {
  return [
    '-Xms384m',
    '-Xmx384m',
    '-Djdk.attach.allowAttachSelf=true',
    ...opens.map(name => `--add-opens=${name}=ALL-UNNAMED`),
    ...exports.map(name => `--add-exports=${name}=ALL-UNNAMED`),
    `-Dcassandra.config=file://${conf}/cassandra.yaml`,
    `-Dcassandra.storagedir=${folder}`,
    '-Dcassandra-foreground=yes',
    '-Dcassandra.ring_delay_ms=100',
    '-Dcassandra.skip_wait_for_gossip_to_settle=0',
    '-Dcassandra.superuser_setup_delay_ms=0',
    '-cp',
    `${conf}:${jars}/*`,
    'org.apache.cassandra.service.CassandraDaemon',
  ]
}
