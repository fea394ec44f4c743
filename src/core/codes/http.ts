import { entry } from './entry.ts'

/** Errors of APIs that are read over HTTP. `request` is the method and the path, never the query. */
export const httpCodes = {
  HTTP_STATUS: entry({
    text: (p: { source: string; request: string; status: number; problem: string }) =>
      `source "${p.source}" answered ${p.request} with status ${p.status}${p.problem === '' ? '' : `: ${p.problem}`}`,
    fix: 'Compare the url, the path and the query of the endpoint with the description of the API.',
    retry: 'never',
  }),
  HTTP_BUSY: entry({
    text: (p: { source: string; request: string; seconds: number; most: number }) =>
      `source "${p.source}" asks to wait ${p.seconds} s before ${p.request}; retryWaitMax allows ${p.most} s`,
    fix: 'Run again later, lower requestsPerSecond, or raise retryWaitMax of the source.',
    retry: 'later',
  }),
  HTTP_ANSWER: entry({
    text: (p: { source: string; request: string; problem: string }) =>
      `source "${p.source}" answered ${p.request} with something that cannot be read: ${p.problem}`,
    fix: 'Compare records and page of the endpoint with an answer of the API; raise maxPageBytes if a page may be larger.',
    retry: 'never',
  }),
  HTTP_ENDLESS: entry({
    text: (p: { source: string; endpoint: string; problem: string }) =>
      `endpoint "${p.endpoint}" of source "${p.source}" does not come to an end: ${p.problem}`,
    fix: 'Compare page of the endpoint with the description of the API; raise maxPages if it has more.',
    retry: 'never',
  }),
  HTTP_REDIRECT: entry({
    text: (p: { source: string; request: string; to: string }) =>
      `source "${p.source}" sends ${p.request} on to ${p.to}, which is not followed`,
    fix: 'Write the address that the API has now into url; only its own scheme, host and port are read.',
    retry: 'never',
  }),
  HTTP_ADDRESS: entry({
    text: (p: { source: string; host: string; address: string }) =>
      `source "${p.source}": the name ${p.host} leads to ${p.address}, an address of a private network`,
    fix: 'Correct the url. If the API is inside your network, write its address itself, or add privateNetwork: true.',
    retry: 'never',
  }),
  HTTP_TOTAL: entry({
    text: (p: { source: string; endpoint: string; told: string; read: number }) =>
      `endpoint "${p.endpoint}" of source "${p.source}" has ${p.told} records by its own count, but gave ${p.read}`,
    fix: 'Run again: records may have come or gone between two pages. If it stays so, compare page of the endpoint with the API.',
    retry: 'later',
  }),
  HTTP_MOVED: entry({
    text: (p: { source: string; endpoint: string; was: bigint; now: bigint; page: number }) =>
      `endpoint "${p.endpoint}" of source "${p.source}" had ${p.was} records and has ${p.now} on page ${p.page}: where records go, others move to a page that was read already`,
    fix: 'Run again when fewer records are removed, or find pages by cursor, next or link where the API has them.',
    retry: 'later',
  }),
  HTTP_RECORDS: entry({
    text: (p: { source: string; endpoint: string; most: number }) =>
      `endpoint "${p.endpoint}" of source "${p.source}" has more than ${p.most} records`,
    fix: 'Narrow its query, or raise maxRecords of the source: each key that was seen costs about 100 bytes of memory.',
    retry: 'never',
  }),
} as const
