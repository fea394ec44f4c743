/**
 * Addresses that a name from outside must never lead to: of this machine, of a private network, of a link, of a cloud's
 * metadata. Those that stand for no single machine count too.
 */
const privateRanges: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['::', 127],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
]

/** IPv6 addresses that carry one of IPv4: the prefix, and the bit at which the other begins. */
const carriers: readonly (readonly [string, number, number])[] = [
  ['::ffff:0:0', 96, 96],
  ['::', 96, 96],
  ['64:ff9b::', 96, 96],
  ['2002::', 16, 16],
]

/** True when an IP address is of a private network; also for text that is no address. */
export function isPrivateAddress(address: string): boolean {
  const bits = bitsOf(address)
  if (bits === null) return true
  if (isInPrivateRange(bits)) return true
  return carriers.some(([base, length, at]) => {
    return bits.length === 128 && bits.startsWith(prefixOf(base, length)) && isInPrivateRange(bits.slice(at, at + 32))
  })
}

/** True for the address of this link: a cloud answers there with its secrets. Nobody keeps an API there. */
export function isLinkLocal(address: string): boolean {
  const bits = bitsOf(address) ?? ''
  const v4 = bits.length === 128 && bits.startsWith(prefixOf('::ffff:0:0', 96)) ? bits.slice(96) : bits
  return v4.startsWith(prefixOf('169.254.0.0', 16)) || bits.startsWith(prefixOf('fe80::', 10))
}

/** True when the host of a URL is an address, or the name of this machine, and no other name. */
export function isAddress(host: string): boolean {
  return host === 'localhost' || bitsOf(host.replaceAll(/[[\]]/g, '')) !== null
}

function isInPrivateRange(bits: string): boolean {
  const isV4 = bits.length === 32
  return privateRanges.some(([base, length]) => base.includes('.') === isV4 && bits.startsWith(prefixOf(base, length)))
}

function prefixOf(base: string, length: number): string {
  return (bitsOf(base) as string).slice(0, length)
}

/** The bits of an address as text: 32 or 128 of them. `null` for what is no address. */
function bitsOf(address: string): string | null {
  const plain = address.replace(/%.*$/, '')
  if (/^\d+\.\d+\.\d+\.\d+$/.test(plain)) {
    const parts = plain.split('.').map(Number)
    return parts.every(part => part < 256) ? parts.map(part => binary(part, 8)).join('') : null
  }
  if (!plain.includes(':') || !URL.canParse(`http://[${plain}]`)) return null
  // The parser of URLs writes every spelling in one way: lower case, the longest run of zeros left out.
  const { hostname } = new URL(`http://[${plain}]`)
  const [left = '', right] = hostname.slice(1, -1).split('::')
  const words = (part: string): string[] => part.split(':').filter(word => word !== '')
  const [head, tail] = [words(left), words(right ?? '')]
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0')
  return [...head, ...zeros, ...tail].map(word => binary(Number.parseInt(word, 16), 16)).join('')
}

function binary(value: number, width: number): string {
  return value.toString(2).padStart(width, '0')
}
