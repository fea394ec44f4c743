/** How the name of a file says that it is packed. */
const packing = /\.(?:gz|gzip|zst|zstd|zip)$/i

/** The ending of a name in lower case without its dot, that of a packed file below its packing: `csv` of `a.csv.gz`. */
export function fileEnding(name: string): string {
  const bare = name.slice(name.lastIndexOf('/') + 1).replace(packing, '')
  return /.\.([^.]*)$/.exec(bare)?.[1]?.toLowerCase() ?? ''
}

/** The format that an ending stands for; `null` when it says nothing, which is read as CSV. */
export function formatOfEnding(ending: string): 'ndjson' | 'json' | 'parquet' | 'avro' | null {
  switch (ending) {
    case 'ndjson':
    case 'jsonl':
      return 'ndjson'
    case 'json':
    case 'parquet':
    case 'avro':
      return ending
    default:
      return null
  }
}
