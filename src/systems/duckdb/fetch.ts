import native from '@duckdb/node-bindings'

/**
 * The next rows of a result; `null` behind the last. What fails while rows are streamed the driver gives as their end, and
 * keeps its reason: it is an error here, and `findReason` may throw a better one.
 */
export async function nextChunk(
  result: native.Result,
  findReason?: () => Promise<unknown>,
): Promise<native.DataChunk | null> {
  // oxlint-disable-next-line no-restricted-properties -- the one place
  const chunk = await native.fetch_chunk(result)
  if (chunk !== null && native.data_chunk_get_size(chunk) > 0) return chunk
  if (native.result_return_type(result) !== native.ResultType.INVALID) return null
  await findReason?.()
  throw new Error('its rows broke off before the last, and DuckDB does not say why')
}
