const HALF = 2n ** 31n
const WHOLE = 2n ** 32n

/**
 * Reads a snapshot of the server (`xmin:xmax:xip,…`) and tells of a transaction whether its changes are in it. The log
 * numbers transactions with 32 bits, which begin anew every 4 billion; a snapshot has all 64. No two that matter lie more
 * than 2 billion apart, since the server stops before.
 */
export function seenBy(snapshot: string): (transaction: bigint) => boolean {
  const [min, max, open] = snapshot.split(':') as [string, string, string]
  const [xmin, xmax] = [BigInt(min), BigInt(max)]
  const running = new Set(open === '' ? [] : open.split(',').map(BigInt))
  return transaction => {
    const id = wide(BigInt.asUintN(32, transaction), xmax)
    return id < xmin || (id < xmax && !running.has(id))
  }
}

/** The number with 64 bits that lies nearest to `near`. */
function wide(id: bigint, near: bigint): bigint {
  const guess = near - (near % WHOLE) + id
  if (guess - near > HALF) return guess - WHOLE
  return near - guess > HALF ? guess + WHOLE : guess
}
