import { implement, option } from '../../../core/implementation.ts'
import type { JsonList } from '../../../core/json-list.ts'
import type { ColumnDef } from '../../../core/types.ts'
import { limits } from '../options.ts'

const MiB = 1024 * 1024

/** How the next page is found. */
export type PageDef =
  | { readonly by: 'none' }
  | { readonly by: 'number'; readonly param: string; readonly first: number }
  | { readonly by: 'offset'; readonly param: string }
  /** A value of the answer goes into the next request. */
  | { readonly by: 'cursor'; readonly param: string; readonly at: readonly string[] }
  /** The address of the next page stands in the answer. */
  | { readonly by: 'next'; readonly at: readonly string[] }
  | { readonly by: 'link' }

/** The rows of an endpoint, or of a list within its records. */
export interface RowsDef {
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
  /** Names of members on the way to each column's value, by column. */
  readonly at: Readonly<Record<string, readonly string[]>>
}

/** An endpoint as the builder of the config hands it over. */
export interface EndpointDef extends RowsDef {
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Names of members on the way to the list of records; none when the answer is the list. */
  readonly records: readonly string[]
  readonly page: PageDef
  readonly total: { readonly at: readonly string[] } | { readonly header: string } | null
  readonly since: { readonly param: string; readonly format: SinceFormat } | null
  readonly children: Readonly<Record<string, ChildDef>>
}

/** A list within each record: a table of its own. */
export type ChildDef = RowsDef & JsonList

/** How a moment is written in a query. It is cut, never rounded up, so that nothing is missed. */
export type SinceFormat = 'iso' | 'iso-seconds' | 'date' | 'unix' | 'unix-ms'

/** The adapter of JSON APIs, described. */
export const http = implement({
  service: 'adapter',
  kind: 'http',
  summary:
    'Endpoints of a JSON API, read page by page into a private copy; lists within records are tables of their own.',
  needs: {},
  options: {
    url: option.required.text('Address that the paths of endpoints follow: https://api.example.com/v2.'),
    token: option.secret('Sent as `authorization: Bearer …`.'),
    user: option.text('User of basic authentication, with `password`.'),
    password: option.secret('Password of basic authentication.'),
    header: option.text('Name of the header that `key` is sent in: `x-api-key`.'),
    key: option.secret('Value of the header that `header` names.'),
    endpoints: option.data('The endpoints, their pages and columns.', { default: {} }),
    requestsPerSecond: option.int('Most requests that are sent in a second; 0 is as fast as it goes.', {
      default: 0,
      min: 0,
    }),
    connectTimeout: option.duration('Longest wait for a connection.', { default: '15s' }),
    answerTimeout: option.duration('Longest wait for the head of an answer.', { default: '1m' }),
    bodyTimeout: option.duration('Longest wait for the whole of an answer behind its head.', { default: '5m' }),
    retries: option.int(
      'How often a request is sent again after a fault that may pass: a time-out, status 429 or 5xx.',
      {
        default: 5,
        min: 0,
        max: 100,
      },
    ),
    retryWaitMax: option.duration('Longest wait before a request is sent again, whatever the API asks for.', {
      default: '5m',
    }),
    maxPageBytes: option.int('Largest answer that is taken, in bytes, packed or not.', {
      default: 64 * MiB,
      min: 1024,
      max: 512 * MiB,
    }),
    maxPages: option.int('Most pages of one endpoint; more end the read with an error.', { default: 100_000, min: 1 }),
    maxRecords: option.int(
      'Most records of one endpoint. A list that changes shows a record on two pages, so each key that was seen is remembered.',
      { default: 5_000_000, min: 1, max: 15_000_000 },
    ),
    privateNetwork: option.flag('The name in url may lead to an address of a private network.', { default: false }),
    rowsPerSecond: limits.rowsPerSecond,
    hours: limits.hours,
    maxValueBytes: option.int('Largest record that is taken, in bytes. A larger one is set aside as a reject.', {
      default: 64 * MiB,
      min: 1024,
      max: 512 * MiB,
    }),
  },
  open: () => import('./open.ts'),
})
