import { aboutOf, checkedName, checkedOptions, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { SourceDef, SubscriberDef } from './model.ts'

/** An application that takes the changes of a source, and what it may see of them. */
export interface SubscriberOptions {
  /** The source, as its builder made it. Its tables are those that the project uses. */
  readonly source: Handle
  /** Names of the tables whose changes it takes; all that come as a stream unless given. */
  readonly tables?: readonly string[]
  /** Whether it sees the values of personal columns; `masked` unless given. */
  readonly personal?: 'masked' | 'shown'
  /** Prefixes of messages that it gets beside the changes: those that applications write with `pg_logical_emit_message`, such as who made a change, and why. */
  readonly messages?: readonly string[]
}

const streamed: readonly string[] = ['log', 'trigger', 'event', 'status']

/** The subscribers of a config, each with its tables. */
export function subscriberDefs(
  given: { readonly [name: string]: SubscriberOptions },
  sources: readonly SourceDef[],
): readonly SubscriberDef[] {
  return Object.entries(given).map(([name, options]) => {
    const where = `subscriber "${name}"`
    checkedName('subscriber', name)
    checkedOptions(where, options, ['source', 'tables', 'personal', 'messages'])
    const { personal = 'masked' } = options
    if (personal !== 'masked' && personal !== 'shown')
      throw mistake(`${where}: personal is 'masked' or 'shown', not ${JSON.stringify(personal)}`)
    const source = sourceOf(where, options.source, sources)
    const tables = tablesOf(where, options.tables, source)
    return { name, source: source.name, tables, personal, ...messagesOf(where, options.messages, { source, tables }) }
  })
}

function sourceOf(where: string, handle: Handle, sources: readonly SourceDef[]): SourceDef {
  const it = aboutOf(handle)
  if (it === null || it.kind !== 'source') throw mistake(`${where}: its source is what pg(), mysql() … gave`)
  const found = sources.find(source => source.name === it.def.name)
  if (found === undefined)
    throw mistake(`${where}: no model uses a table of source "${it.def.name}"; name the source in models as well`)
  return found
}

function messagesOf(
  where: string,
  messages: readonly string[] | undefined,
  { source, tables }: { readonly source: SourceDef; readonly tables: readonly string[] },
): Pick<SubscriberDef, 'messages'> {
  if (messages === undefined) return {}
  if (!Array.isArray(messages) || messages.some(it => typeof it !== 'string' || it === '' || it.startsWith('naru.')))
    throw mistake(
      `${where}: messages are the prefixes of messages, such as ['audit']; those of Naru begin with "naru."`,
    )
  const technique = source.tables.find(({ name }) => name === tables[0])?.change.technique
  if (source.adapter !== 'postgres' || technique !== 'log')
    throw mistake(`${where}: messages come with the log of PostgreSQL only`)
  return { messages }
}

/** All of one stream, whose order is the one in which they are given. */
function tablesOf(where: string, names: readonly string[] | undefined, source: SourceDef): readonly string[] {
  const tables = source.tables.filter(({ change }) => streamed.includes(change.technique))
  const unknown = names?.find(name => !tables.some(table => table.name === name))
  if (unknown !== undefined) {
    throw mistake(
      `${where}: no changes of ${source.name}.${unknown} come as a stream; give the table a change technique`,
    )
  }
  const wanted = names === undefined ? tables : tables.filter(table => names.includes(table.name))
  if (wanted.length === 0) throw mistake(`${where}: no table of source "${source.name}" comes as a stream`)
  const techniques = [...new Set(wanted.map(({ change }) => change.technique))]
  if (techniques.length > 1) {
    const parts = techniques.map(it => wanted.find(({ change }) => change.technique === it)?.name)
    throw mistake(
      `${where}: its tables come in different streams (${techniques.join(', ')}), as ${parts.join(' and ')} do; name those of one in tables`,
    )
  }
  return wanted.map(table => table.name)
}
