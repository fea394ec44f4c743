// Writes transactions at a steady rate: of ten changes seven are updates of scattered orders, two are new orders, one deletes
// an order that was new. Told by its parent `{url, rate, seconds, size, rows, customers, seq, id}`; answers with when each
// transaction had committed, in microseconds since 1970, as `[[seq, micros], …]`.
import pg from 'pg'
import { order } from './project.mjs'

process.once('message', given => void write(given))

async function write(given) {
  const client = new pg.Client(given.url)
  await client.connect()
  const setting = await client.query('show synchronous_commit')
  const commits = []
  let { seq, id } = given
  let oldest = id
  const began = performance.now()
  const every = (1000 * given.size) / given.rate
  let changes = 0
  const [inserts, deletes] = [Math.floor(given.size * 0.2), Math.floor(given.size * 0.1)]
  while (performance.now() - began < given.seconds * 1000) {
    const waits = began + commits.length * every - performance.now()
    if (waits > 1) await new Promise(resolve => setTimeout(resolve, waits))
    seq += 1
    const ids = new Set()
    for (let i = 0; ids.size < given.size - inserts - deletes; i += 1)
      ids.add(1 + (((seq * 100_003 + i * 7919) * 15_485_863) % given.rows))
    const [amount, state] = [`((id * 17 + ${seq}) % 100000)::numeric / 100`, `'s' || (id + ${seq}) % 5`]
    const parts = [
      `update orders set seq = ${seq}, amount = ${amount}, state = ${state} where id in (${[...ids].join()})`,
    ]
    if (inserts > 0)
      parts.push(
        `insert into orders select ${order('i', seq, given.customers)} from generate_series(${id + 1}::bigint, ${id + inserts}) i`,
      )
    id += inserts
    if (deletes > 0 && id - oldest > 100) {
      parts.push(`delete from orders where id > ${oldest} and id <= ${oldest + deletes}`)
      oldest += deletes
    }
    await client.query(`begin; ${parts.join('; ')}; commit`)
    changes += given.size
    commits.push([seq, Math.round((performance.timeOrigin + performance.now()) * 1000)])
  }
  const seconds = (performance.now() - began) / 1000
  await client.end()
  process.send({ commits, changes, seconds, seq, id, synchronousCommit: setting.rows[0].synchronous_commit })
}
