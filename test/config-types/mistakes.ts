// What must not compile. Each mistake stands under a comment with its number; the word in angle brackets is what the
// compiler must point at. The messages are in mistakes.golden.txt.
import {
  defineConfig,
  duckdb,
  dw,
  env,
  files,
  mask,
  none,
  ods,
  pg,
  postgres,
  prefer,
  rule,
  sqlite,
  t,
  when,
} from 'naru'
import { changing, legacy, shop } from './schema.js'

const url = env('URL')
const web = pg('web', { url, schema: shop })
const erp = sqlite('erp', { path: 'x', schema: legacy })
const order = ods.entity('e', { key: 'id', columns: { id: t.text(), n: t.int(), s: t.enum('a', 'b') } })
const priced = ods.entity('p', {
  key: 'id',
  columns: { id: t.text(), price: t.decimal(9, 2), at: t.timestamp(), free: t.int() },
})
const person = ods.entity('c', { key: 'id', columns: { id: t.int(), email: t.text().pii(), at: t.timestamptz() } })
const someone = person.from(web.customers, r => ({ id: r.id, email: r.email.ifNull(''), at: r.updated_at }))
const client = ods
  .entity('client', { key: 'id', columns: { id: t.int(), name: t.text(), city: t.text().null(), x: t.float() } })
  .match(erp.cust, r => ({ name: r.nm }), { compare: { name: ['name', 'city'] } })

// 1 timestamp technique on a text column ⟨column⟩
pg('a', {
  url,
  schema: legacy,
  changes: { ord: { technique: 'timestamp', column: 'stat', deletes: 'keep' } },
})
// 2 timestamp technique on a column that does not exist ⟨column⟩
sqlite('a', {
  path: 'x',
  schema: legacy,
  changes: { ord: { technique: 'timestamp', column: 'nope', deletes: 'keep' } },
})
// 3 timestamp technique with a column of another table ⟨column⟩
sqlite('a', {
  path: 'x',
  schema: legacy,
  changes: { ord: { technique: 'timestamp', column: 'changed', deletes: 'keep' } },
})
// 4 a technique that does not exist ⟨technique⟩
sqlite('a', { path: 'x', schema: legacy, changes: { ord: { technique: 'magic', column: 'stat' } } })
// 5 blind technique without a policy for deletes ⟨ord⟩
sqlite('a', { path: 'x', schema: legacy, changes: { ord: { technique: 'timestamp', column: 'upd_ts' } } })
// 6 a full read sees deletes and takes no policy ⟨deletes⟩
sqlite('a', { path: 'x', schema: legacy, changes: { ord: { technique: 'full', deletes: 'keep' } } })
// 7 changes of a table that does not exist ⟨odr⟩
sqlite('a', { path: 'x', schema: legacy, changes: { odr: { technique: 'full' } } })
// 8 a span of time without a unit ⟨sweep⟩
sqlite('a', {
  path: 'x',
  schema: legacy,
  changes: { ord: { technique: 'timestamp', column: 'upd_ts', deletes: { sweep: '1' } } },
})
// 9 a password in the configuration ⟨url⟩
pg('a', { url: 'postgres://me:secret@host/db', schema: shop })
// 10 the key of files is not a column ⟨key⟩
files('a', { url, tables: { f: { glob: '*', key: 'zz', scope: 'full', columns: { a: t.text() } } } })
// 11 the key of an entity is not a column ⟨key⟩
ods.entity('e', { key: 'idd', columns: { id: t.text() } })
// 12 part of a composite key is not a column ⟨key⟩
ods.entity('e', { key: ['id', 'nope'], columns: { id: t.text() } })
// 13 source column with a typo ⟨ordr_no⟩
order.from(web.orders, r => ({ id: r.ordr_no, n: r.qty, s: r.status.map({ new: 'a', paid: 'b', sent: 'b' }) }))
// 14 a target column is missing ⟨({ id⟩
order.from(web.orders, r => ({ id: r.order_no, n: r.qty }))
// 15 text into int ⟨n⟩
order.from(web.orders, r => ({ id: r.order_no, n: r.sku, s: r.status.map({ new: 'a', paid: 'b', sent: 'b' }) }))
// 16 a value outside the list ⟨s⟩
order.from(web.orders, r => ({ id: r.order_no, n: r.qty, s: r.status.map({ new: 'zzz', paid: 'b', sent: 'b' }) }))
// 17 a list that is not mapped wholly ⟨{ new: 'a' }⟩
order.from(web.orders, r => ({ id: r.order_no, n: r.qty, s: r.status.map({ new: 'a' }) }))
// 18 a target column that does not exist ⟨extra⟩
order.from(web.orders, r => ({ id: r.order_no, n: r.qty, s: when(r.qty.gt(1)).then('a').otherwise('b'), extra: r.sku }))
// 19 personal data into a plain column ⟨id⟩
order.from(web.customers, r => ({ id: r.name, n: r.id, s: when(r.id.gt(1)).then('a').otherwise('b') }))
// 20 nullable into not-null ⟨email⟩
person.from(web.customers, r => ({ id: r.id, email: r.email, at: r.updated_at }))
// 21 arithmetic with a nullable operand into not-null ⟨free⟩
priced.from(web.orders, r => ({ id: r.sku, price: r.price, at: r.due, free: r.qty.add(r.qty_free).as(t.int()) }))
// 22 no value for a not-null column ⟨price⟩
priced.from(web.orders, r => ({ id: r.sku, price: none, at: r.due, free: r.qty }))
// 23 decimal into int ⟨free⟩
priced.from(web.orders, r => ({ id: r.sku, price: r.price, at: r.due, free: r.price }))
// 24 a float is not exact: float into decimal ⟨price⟩
priced.from(web.orders, r => ({ id: r.sku, price: r.weight, at: r.due, free: r.qty }))
// 25 decimal times float ⟨r.weight⟩
priced.from(web.orders, r => ({ id: r.sku, price: r.price.multiply(r.weight), at: r.due, free: r.qty }))
// 26 64 bits into 32 ⟨free⟩
priced.from(web.orders, r => ({ id: r.sku, price: r.price, at: r.due, free: r.qty.multiply(2) }))
// 27 a moment with a zone into one without ⟨at⟩
priced.from(web.orders, r => ({ id: r.sku, price: r.price, at: r.created_at, free: r.qty }))
// 28 JavaScript + on columns ⟨r.qty + r.qty⟩
order.from(web.orders, r => ({ id: r.sku, n: r.qty + r.qty, s: when(r.qty.gt(1)).then('a').otherwise('b') }))
// 29 JavaScript === on columns ⟨r.sku === 'x'⟩
order.from(web.orders, r => ({
  id: r.sku,
  n: r.sku === 'x' ? r.qty : r.line_no,
  s: when(r.qty.gt(1)).then('a').otherwise('b'),
}))
// 30 comparison with a value outside the list ⟨'nwe'⟩
order.from(web.orders, r => ({ id: r.sku, n: r.qty, s: when(r.status.eq('nwe')).then('a').otherwise('b') }))
// 31 comparison of unlike types ⟨r.qty⟩
order.from(web.orders, r => ({ id: r.sku, n: r.qty, s: when(r.sku.eq(r.qty)).then('a').otherwise('b') }))
// 32 a text method on a number ⟨trim⟩
order.from(web.orders, r => ({ id: r.qty.trim(), n: r.qty, s: when(r.qty.gt(1)).then('a').otherwise('b') }))
// 33 a match that gives the key ⟨id⟩
client.match(web.customers, r => ({ id: r.id, name: r.city }), { compare: { name: ['name'] }, as: 'b' })
// 34 a match that compares a column it does not give ⟨city⟩
client.match(web.customers, r => ({ name: r.city }), { compare: { city: ['city'] } })
// 35 a match against a number ⟨'id'⟩
client.match(web.customers, r => ({ name: r.city }), { compare: { name: ['id'] } })
// 36 resolve with a contributor that is no match ⟨'web'⟩
person.from(erp.cust, r => ({ id: client.resolve('web', r).ifNull(0), email: r.nm, at: r.changed.inZone('UTC') }))
// 37 resolve with a row of another table ⟨r)⟩
person.from(web.customers, r => ({ id: client.resolve('erp', r).ifNull(0), email: r.name, at: r.updated_at }))
// 38 a resolved key may be missing ⟨id⟩
person.from(erp.cust, r => ({ id: client.resolve('erp', r), email: r.nm, at: r.changed.inZone('UTC') }))
// 39 a conflict rule names a contributor that does not exist ⟨'crm'⟩
someone.conflicts({ '*': prefer.first('web', 'crm') })
// 40 the latest by a column that is no time ⟨'email'⟩
someone.conflicts({ email: prefer.latest('email') })
// 41 a pattern on a number ⟨id⟩
someone.rules({ id: rule.pattern(/x/) })
// 42 a range of numbers on a time ⟨at⟩
someone.rules({ at: rule.range(1, 2) })
// 43 a reference to a key of another type ⟨email⟩
someone.rules({ email: rule.ref(client) })
// 44 a reference to a key of two columns ⟨web.orders⟩
someone.rules({ email: rule.ref(web.orders) })
// 45 uniqueness over a column that does not exist ⟨name⟩
someone.rules({ '*': e => rule.unique(e.id, e.name) })
// 46 a repair of another type ⟨email⟩
someone.cleanse({ email: e => e.at })
// 47 an export without a mask for a personal column ⟨mask⟩
ods.export('x', someone, { mask: {} })
// 48 an export of personal data without options ⟨someone⟩
ods.export('x', someone)
// 49 a mask that does not fit the column ⟨at⟩
ods.export('x', someone, { mask: { email: mask.drop(), at: mask.keepLast(4) } })
// 50 a key that is dropped ⟨id⟩
ods.export('x', someone, { mask: { email: mask.drop(), id: mask.drop() } })
// 51 a mask for a column that does not exist ⟨mail⟩
ods.export('x', someone, { mask: { email: mask.drop(), mail: mask.drop() } })
// 52 the warehouse fed by an entity ⟨someone⟩
dw.dimension('c', someone)
const xPerson = ods.export('x', someone, { mask: { email: mask.drop() } })
const xHashed = ods.export('h', someone, { mask: { email: mask.hash(env('K')), id: mask.hash(env('K')) } })
// 53 history of a column that was dropped ⟨'email'⟩
dw.dimension('c', xPerson, { type2: ['email'] })
// 54 versions valid from a column that is no time ⟨validFrom⟩
dw.dimension('c', xHashed, { validFrom: 'email' })
const line = ods.entity('l', {
  key: ['no', 'pos'],
  columns: {
    no: t.text(),
    pos: t.int(),
    c: t.int(),
    sku: t.text(),
    at: t.timestamp(),
    amt: t.decimal(9, 2),
    z: t.timestamptz(),
  },
})
const xLine = ods.export('l', line)
const dPerson = dw.dimension('c', xPerson)
const dHashed = dw.dimension('h', xHashed)
const dLine = dw.dimension('l', xLine)
const day = dw.calendar('date')
// 55 a foreign key of another type ⟨c⟩
dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'at', dims: { c: dPerson.by('sku') } })
// 56 a foreign key that does not exist ⟨c⟩
dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'at', dims: { c: dPerson.by('nope') } })
// 57 a number against a key that is hashed ⟨h⟩
dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'at', dims: { h: dHashed.by('c') } })
// 58 part of a composite key ⟨l⟩
dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'at', dims: { l: dLine.by('no') } })
// 59 a composite key in the wrong order ⟨l⟩
dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'at', dims: { l: dLine.by('pos', 'no') } })
// 60 a calendar by a text ⟨d⟩
dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'at', dims: { d: day.by('sku') } })
// 61 a calendar by a moment whose date depends on the zone ⟨d⟩
dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'at', dims: { d: day.by('z') } })
// 62 an event time that is no time ⟨at⟩
dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'sku', dims: {} })
// 63 a grain that does not exist ⟨grain⟩
dw.fact('f', xLine, { grain: ['no', 'nope'], at: 'at', dims: {} })
const f = dw.fact('f', xLine, { grain: ['no', 'pos'], at: 'at', dims: { c: dPerson.by('c') } })
// 64 the sum of a text ⟨sum⟩
dw.summary('s', f, { by: x => ({ y: x.at.year() }), get: x => ({ n: x.sku.sum() }) })
// 65 an attribute that the dimension does not have ⟨email⟩
dw.summary('s', f, { by: x => ({ y: x.c.email }), get: x => ({ n: x.count() }) })
// 66 a column where a measure must stand ⟨n⟩
dw.summary('s', f, { by: x => ({ y: x.at.year() }), get: x => ({ n: x.amt }) })
// 67 a measure where a column must stand ⟨y⟩
dw.summary('s', f, { by: x => ({ y: x.amt.sum() }), get: x => ({ n: x.count() }) })
// 68 an option that the engine does not have ⟨file⟩
defineConfig({ engine: duckdb({ path: 'x', file: 'y' }), models: [f] })
// 69 something that is no model ⟨t]⟩
defineConfig({ engine: duckdb({ path: 'x' }), models: [f, t] })
// 70 a plain column chosen by personal data ⟨s⟩
order.from(web.customers, r => ({ id: r.city, n: r.id, s: when(r.name.eq('x')).then('a').otherwise('b') }))
import { cassandra, http, mysql, odbc, redis } from 'naru'
const api = http('api', {
  url: 'https://x',
  endpoints: {
    orders: {
      path: '/o',
      key: 'id',
      columns: { id: t.int() },
      children: { lines: { columns: { sku: t.text(), qty: t.int() }, key: 'sku' } },
    },
  },
})
// 71 an API with a password in the configuration ⟨token⟩
http('a', { url: 'https://x', token: 'abc', endpoints: { o: { path: '/o', key: 'id', columns: { id: t.int() } } } })
// 72 the key of an endpoint is not a column ⟨key⟩
http('a', { url: 'https://x', endpoints: { o: { path: '/o', key: 'zz', columns: { id: t.int() } } } })
// 73 what changed is seen by a column without date and time ⟨column⟩
http('a', {
  url: 'https://x',
  endpoints: {
    o: {
      path: '/o',
      key: 'id',
      columns: { id: t.int() },
      since: { column: 'id', param: 'x', lag: '1m', deletes: 'keep' },
    },
  },
})
// 74 a parameter that is blind to deletes without a policy ⟨since⟩
http('a', {
  url: 'https://x',
  endpoints: {
    o: {
      path: '/o',
      key: 'id',
      columns: { id: t.int(), at: t.timestamp() },
      since: { column: 'at', param: 'x', lag: '1m' },
    },
  },
})
// 75 the way to a column that does not exist ⟨nope⟩
http('a', {
  url: 'https://x',
  endpoints: { o: { path: '/o', key: 'id', columns: { id: t.int() }, at: { nope: 'x' } } },
})
// 76 pages that are found in no known way ⟨by⟩
http('a', {
  url: 'https://x',
  endpoints: { o: { path: '/o', key: 'id', columns: { id: t.int() }, page: { by: 'pages' } } },
})
// 77 the key of a list is not one of its columns ⟨key⟩
http('a', {
  url: 'https://x',
  endpoints: {
    o: { path: '/o', key: 'id', columns: { id: t.int() }, children: { l: { columns: { x: t.text() }, key: 'no' } } },
  },
})
// 78 a column that a list does not have ⟨nope⟩
order.from(api.orders_lines, r => ({ id: r.nope, n: r.orders_id, s: when(r.qty.gt(1)).then('a').otherwise('b') }))
// 79 the key of hashes is not a column ⟨key⟩
redis('a', { url, tables: { u: { hashes: 'u:*', key: 'zz', columns: { id: t.int() } } } })
// 80 a pattern without its star ⟨hashes⟩
redis('a', { url, tables: { u: { hashes: 'user', key: 'id', columns: { id: t.int() } } } })
// 81 a consistency that does not exist ⟨consistency⟩
cassandra('a', { url, schema: shop, consistency: 'some' })
// 82 the password of the warehouse in the configuration ⟨url⟩
defineConfig({ engine: postgres({ url: 'postgres://me:secret@host/db' }), models: [f] })
// 83 an option that the engine does not have ⟨path⟩
defineConfig({ engine: postgres({ url, path: 'x.duckdb' }), models: [f] })
// 84 a span of time without a unit ⟨statementTimeout⟩
defineConfig({ engine: postgres({ url, statementTimeout: '30' }), models: [f] })
// 85 a contract that does not exist ⟨contract⟩
sqlite('a', { path: 'x', schema: legacy, contract: 'strict' })
// 86 a policy that this kind of change does not have ⟨dropped⟩
sqlite('a', { path: 'x', schema: legacy, contract: { ord: { dropped: 'discard' } } })
// 87 the contract of a table that does not exist ⟨odr⟩
sqlite('a', { path: 'x', schema: legacy, contract: { odr: 'evolve' } })
// 88 a new name for a column that does not exist ⟨nope⟩
sqlite('a', { path: 'x', schema: legacy, renamed: { ord: { nope: 'yes' } } })
// 89 a transfer into a mode that does not exist ⟨mode⟩
defineConfig({
  engine: duckdb({ path: 'x' }),
  models: [f],
  transfers: { nightly: { from: 'a.db#t', to: 'b.db', mode: 'append' } },
})
// 90 a transfer without its target ⟨nightly⟩
defineConfig({ engine: duckdb({ path: 'x' }), models: [f], transfers: { nightly: { from: 'a.db#t' } } })
// 91 keys have no order that an incremental read could go by ⟨deletes⟩
redis('a', { url, tables: { u: { hashes: 'u:*', key: 'id', columns: { id: t.int() }, since: { deletes: 'keep' } } } })
// 92 an id that is blind to deletes without a policy ⟨since⟩
redis('a', { url, tables: { u: { stream: 'u', key: 'id', columns: { id: t.text() }, since: {} } } })
// 93 a technique for a source whose tables say it themselves ⟨changes⟩
redis('a', { url, tables: { u: { stream: 'u', key: 'id', columns: { id: t.text() } } }, changes: {} })
// 94 a technique that Cassandra does not have ⟨technique⟩
cassandra('a', { url, schema: shop, changes: { orders: { technique: 'log' } } })
const drop = files('drop', {
  url,
  tables: {
    orders: {
      glob: '*.ndjson',
      key: 'id',
      scope: 'delta',
      columns: { id: t.int() },
      children: { lines: { columns: { sku: t.text(), qty: t.int() }, key: 'sku' } },
    },
  },
})
// 95 a column that a list of files does not have ⟨nope⟩
order.from(drop.orders_lines, r => ({ id: r.nope, n: r.orders_id, s: when(r.qty.gt(1)).then('a').otherwise('b') }))
// 96 the key of a list of files is not one of its columns ⟨key⟩
files('a', {
  url,
  tables: {
    o: {
      glob: '*.ndjson',
      key: 'id',
      scope: 'full',
      columns: { id: t.int() },
      children: { l: { columns: { x: t.text() }, key: 'no' } },
    },
  },
})
// 97 the place of a column that the list does not have ⟨no⟩
files('a', {
  url,
  tables: {
    o: {
      glob: '*.ndjson',
      key: 'id',
      scope: 'full',
      columns: { id: t.int() },
      children: { l: { columns: { x: t.text() }, at: { no: 'y' } } },
    },
  },
})
// 98 a log that SQLite does not have ⟨technique⟩
sqlite('a', { path: 'x', schema: legacy, changes: { ord: { technique: 'log' } } })
// 99 a stream of a source that is only read ⟨technique⟩
odbc('a', { dsn: url, schema: legacy, changes: { ord: { technique: 'trigger' } } })
// 100 a status of a source that is only read ⟨technique⟩
odbc('a', {
  dsn: url,
  schema: changing,
  changes: { doc: { technique: 'status', column: 'sent', pending: false, done: true, deletes: 'keep' } },
})
// 101 combined in a source without OR ⟨technique⟩
cassandra('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'combined', timestamp: { column: 'at' }, version: { column: 'rev' }, deletes: 'keep' } },
})
// 102 a log sees deletes and takes no policy ⟨deletes⟩
pg('a', { url, schema: changing, changes: { doc: { technique: 'log', deletes: 'keep' } } })
// 103 triggers see deletes and take no policy ⟨deletes⟩
mysql('a', { url, schema: changing, changes: { doc: { technique: 'trigger', deletes: { sweep: '1d' } } } })
// 104 a stream that begins nowhere ⟨start⟩
pg('a', { url, schema: changing, changes: { doc: { technique: 'event', start: 'later' } } })
// 105 the column of a log ⟨column⟩
pg('a', { url, schema: changing, changes: { doc: { technique: 'log', column: 'rev' } } })
// 106 a version without a policy for deletes ⟨doc⟩
pg('a', { url, schema: changing, changes: { doc: { technique: 'version', column: 'rev' } } })
// 107 a version that is a text ⟨column⟩
pg('a', { url, schema: changing, changes: { doc: { technique: 'version', column: 'body', deletes: 'keep' } } })
// 108 a version of a table without whole numbers ⟨column⟩
pg('a', { url, schema: changing, changes: { note: { technique: 'version', column: 'size', deletes: 'keep' } } })
// 109 an overlap of time for a number ⟨overlap⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'version', column: 'rev', overlap: '10m', deletes: 'keep' } },
})
// 110 a lag for a number ⟨lag⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'version', column: 'rev', lag: '10m', deletes: 'keep' } },
})
// 111 a status without a policy for deletes ⟨doc⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'status', column: 'sent', pending: false, done: true } },
})
// 112 a status without its done ⟨doc⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'status', column: 'sent', pending: false, deletes: 'keep' } },
})
// 113 a status by a column that does not exist ⟨column⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'status', column: 'nope', pending: 'new', done: 'seen', deletes: 'keep' } },
})
// 114 a status by a time ⟨column⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'status', column: 'at', pending: 'new', done: 'seen', deletes: 'keep' } },
})
// 115 a status outside the list ⟨pending⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'status', column: 'state', pending: 'open', done: 'seen', deletes: 'keep' } },
})
// 116 the text of a flag that is true or false ⟨done⟩
mysql('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'status', column: 'sent', pending: false, done: 'yes', deletes: 'keep' } },
})
// 117 the text of a number ⟨pending⟩
mysql('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'status', column: 'mark', pending: '0', done: 1, deletes: 'keep' } },
})
// 118 a status of a table without flags ⟨column⟩
pg('a', {
  url,
  schema: { note: { key: ['id'], columns: { id: t.uuid(), size: t.decimal(9, 2) } } },
  changes: { note: { technique: 'status', column: 'id', pending: 'a', done: 'b', deletes: 'keep' } },
})
// 119 combined of one ⟨doc⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'combined', timestamp: { column: 'at' }, deletes: 'keep' } },
})
// 120 combined without a policy for deletes ⟨doc⟩
pg('a', {
  url,
  schema: changing,
  changes: { doc: { technique: 'combined', timestamp: { column: 'at' }, version: { column: 'rev' } } },
})
// 121 combined with a time that is none ⟨column⟩
pg('a', {
  url,
  schema: changing,
  changes: {
    doc: { technique: 'combined', timestamp: { column: 'rev' }, version: { column: 'rev' }, deletes: 'keep' },
  },
})
// 122 combined with a version that is none ⟨column⟩
pg('a', {
  url,
  schema: changing,
  changes: {
    doc: { technique: 'combined', timestamp: { column: 'at' }, version: { column: 'body' }, deletes: 'keep' },
  },
})
// 123 combined with a status outside the list ⟨pending⟩
pg('a', {
  url,
  schema: changing,
  changes: {
    doc: {
      technique: 'combined',
      timestamp: { column: 'at' },
      status: { column: 'state', pending: 'open' },
      deletes: 'keep',
    },
  },
})
// 124 combined only reads: nothing is set to done ⟨done⟩
pg('a', {
  url,
  schema: changing,
  changes: {
    doc: {
      technique: 'combined',
      timestamp: { column: 'at' },
      status: { column: 'sent', pending: false, done: true },
      deletes: 'keep',
    },
  },
})
// 125 a rule for all tables with a column of none ⟨column⟩
pg('a', { url, schema: changing, changes: { '*': { technique: 'version', column: 'nope', deletes: 'keep' } } })
// 126 a rule for all tables by a technique that the source does not have ⟨technique⟩
sqlite('a', { path: 'x', schema: changing, changes: { '*': { technique: 'log' } } })
// 127 a pause without a unit ⟨every⟩
pg('a', { url, schema: changing, every: '5' })
// 128 a status of SQLite, whose rows cannot be claimed safely ⟨technique⟩
sqlite('a', {
  path: 'x',
  schema: changing,
  changes: { doc: { technique: 'status', column: 'sent', pending: false, done: true, deletes: 'keep' } },
})
// 129 a word for a table without a key that there is not ⟨key⟩
pg('a', { url, schema: { visit: { key: 'none', columns: { page: t.text() } } } })
// 130 a table without a key by a technique that reads again ⟨technique⟩
pg('a', {
  url,
  schema: { visit: { key: 'append', columns: { page: t.text() } } },
  changes: { visit: { technique: 'full' } },
})
// 131 a column that an append log does not have ⟨log_by⟩
ods.entity('v', { key: ['load', 'line'], columns: { load: t.big(), line: t.big(), by: t.text() } }).from(
  pg('a', {
    url,
    schema: { visit: { key: 'append', columns: { page: t.text() } } },
    changes: { visit: { technique: 'log' } },
  }).visit,
  r => ({ load: r.log_load, line: r.log_line, by: r.log_by }),
)
// 132 a guard of a source that keeps nothing for anybody ⟨guard⟩
sqlite('a', { path: 'x', schema: changing, guard: { bytes: 1, then: 'drop' } })
// 133 a guard that does something else ⟨then⟩
pg('a', { url, schema: changing, guard: { bytes: 1, then: 'tell' } })
