import { mkdir, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { makeProject, type TestProject } from './project.ts'

/** A project that reads CSV files from a folder of its own: no server, so its runs are short. */
export interface Inbox extends TestProject {
  readonly inbox: string
  /** Puts a file into the folder that was finished long ago, so that no run waits for it to settle. */
  put(name: string, content: string | Uint8Array): Promise<void>
}

/** The parts of the config that a case may want otherwise. */
export interface InboxParts {
  /** More options of the table. */
  readonly table?: string
  readonly amountRule?: string
  readonly more?: string
}

/** Orders come as files that add and replace rows by key. */
export function inboxConfig({ table = '', amountRule = 'rule.range(0, 1000)', more = '' }: InboxParts = {}): string {
  return `import { defineConfig, duckdb, dw, env, files, mask, ods, pg, rule, t } from 'naru'

const shop = files('shop', {
  folder: 'inbox',
  tables: {
    order: {
      glob: 'order*.csv', key: 'id', scope: 'delta', ${table}
      columns: { id: t.int(), customer: t.text(), amount: t.int(), note: t.text().null() },
    },
  },
})
const order = ods
  .entity('order', { key: 'id', columns: { id: t.int(), customer: t.text(), amount: t.int(), note: t.text().null() } })
  .from(shop.order, r => ({ ...r }))
  .rules({ amount: ${amountRule} })
${more}
const orders = ods.export('order', order)
export default defineConfig({
  name: 'inbox',
  engine: duckdb({ path: 'data.duckdb' }),
  models: { orders },
})
`
}

const header = 'id,customer,amount,note'

/** A file of orders from its lines. */
export function ordersCsv(...lines: readonly string[]): string {
  return `${[header, ...lines].join('\n')}\n`
}

const days = 24 * 3_600_000

export async function makeInbox(config: string = inboxConfig(), folder?: string): Promise<Inbox> {
  const project = await makeProject({ config, ...(folder === undefined ? {} : { folder }) })
  const inbox = path.join(project.folder, 'inbox')
  await mkdir(inbox)
  let files = 0
  return {
    ...project,
    inbox,
    put: async (name, content) => {
      await writeFile(path.join(inbox, name), content)
      // Files are read in the order of their times: a later one replaces rows of an earlier one.
      const at = new Date(Date.now() - 3 * days + 1000 * files++)
      await utimes(path.join(inbox, name), at, at)
    },
  }
}
