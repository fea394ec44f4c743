// The limit where there is no psql: reads a binary COPY from the socket and throws the bytes away.
// Arguments: address, relation.
import { Client } from 'pg'

const [url, relation] = process.argv.slice(2)
const client = new Client(url)
await client.connect()
const { stream } = client.connection
stream.removeAllListeners('data')
const text = Buffer.from(`copy (table ${relation}) to stdout (format binary)\0`)
const message = Buffer.alloc(5)
message.write('Q')
message.writeInt32BE(text.length + 4, 1)
stream.write(Buffer.concat([message, text]))
await new Promise((resolve, reject) => {
  stream.on('error', reject)
  // ReadyForQuery is always the last message: `Z`, its length 5, and the state of the transaction.
  stream.on('data', chunk => {
    if (chunk.subarray(-6, -1).equals(Buffer.from([0x5a, 0, 0, 0, 5]))) resolve()
  })
})
stream.destroy()
