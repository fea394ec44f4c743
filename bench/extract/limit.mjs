// The limit where there is no psql: reads the binary COPY of `flight` from the socket and throws the bytes away.
import { Client } from 'pg'

const client = new Client(process.argv[2])
await client.connect()
const { stream } = client.connection
stream.removeAllListeners('data')
const text = Buffer.from('copy flight to stdout (format binary)\0')
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
