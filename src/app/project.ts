import path from 'node:path'
import type { Env } from '../core/env.ts'
import { configFileName, loadConfig } from '../config/load.ts'
import type { Project } from '../config/model.ts'
import { personalTables } from '../plan/personal.ts'
import { undescribedColumns } from './undescribed.ts'
import type { Bus } from '../services/bus/contract.ts'
import type { Engine, EngineSite, PeopleView, Transaction } from '../services/engine/contract.ts'
import { engineFor } from '../services/engine/registry.ts'
import { secretRefsIn, secretResolver, type RevealSecret } from './secrets.ts'

/** A project on this machine: the evaluated config and the folders that belong to it. */
export interface OpenProject {
  readonly project: Project
  readonly configFile: string
  readonly configDir: string
  /** `.naru` beside the config: leases, taken files, reports. */
  readonly stateDir: string
  readonly env: Env
  readonly secret: RevealSecret
  /** The durable log, where this process has it open for as long as it runs. */
  readonly bus?: Bus
  /** Takes what a person should know beside the result: which process was asked. */
  readonly notice?: (text: string) => void
  /** In a server: places in topics that work beside its ticks still needs. */
  readonly held?: Set<{ readonly topic: string; readonly place: string }>
}

/** Where a project is on this machine: enough to find the process that has its database open. */
export type ProjectPlace = Pick<OpenProject, 'env' | 'stateDir'>

/** The place of a project whose configuration need not be right. */
export function projectPlace(
  env: Env,
  asked: { readonly config: string | undefined; readonly cwd: string },
): ProjectPlace & { readonly configFile: string } {
  const configFile = path.resolve(asked.cwd, asked.config ?? configFileName)
  return { env, configFile, stateDir: path.join(path.dirname(configFile), '.naru') }
}

/** Evaluates the config, looks up where its secrets come from and refuses an engine that is not there. Connects to nothing. */
export async function openProject(
  env: Env,
  asked: { readonly config: string | undefined; readonly cwd: string },
): Promise<OpenProject> {
  const { configFile, stateDir } = projectPlace(env, asked)
  const project = await loadConfig(env, configFile)
  const configDir = path.dirname(configFile)
  databasePlace({ project, configDir })
  const secret = await secretResolver(env, configDir, secretRefsIn(project))
  return { project, configFile, configDir, stateDir, env, secret }
}

/**
 * Where the engine keeps its data, for people: never a password. Throws `OPTION_INVALID` for an engine that is not
 * there, and for a database that would be gone with the process.
 */
export function databasePlace(open: Pick<OpenProject, 'project' | 'configDir'>): string {
  const { implementation, options } = engineFor(open.project.engine.kind, open.project.engine.options)
  return implementation.place(options, open.configDir)
}

/** Where the engine of a project is, as the engine is told. */
export function engineSite(open: OpenProject): EngineSite {
  const { kind, options } = open.project.engine
  const { env, configDir, secret } = open
  return { options: engineFor(kind, options).options, configDir, secret, env }
}

/** Opens the engine: to write, to read, or for the queries of people, who see personal columns masked. */
export async function openEngine(open: OpenProject, access: 'write' | 'read' | 'people'): Promise<Engine> {
  const { implementation } = engineFor(open.project.engine.kind, open.project.engine.options)
  const { openEngine: openIt } = await implementation.open()
  const given = engineSite(open)
  if (access === 'people') {
    const reader = await openIt({ ...given, access: 'read' })
    try {
      const view = await reader.transaction(new AbortController().signal, tx => peopleView(open.project, tx))
      await reader.close()
      return await openIt({ ...given, access, ...view })
    } finally {
      await reader.close()
    }
  }
  // The database holds personal data, and the files beside it do while it works.
  if (access === 'write') open.env.processes.keepPrivate()
  return openIt({ ...given, access })
}

/** What people see of the database of a project: personal columns, and those that nobody described, masked. */
export async function peopleView(project: Project, tx: Transaction): Promise<PeopleView> {
  const masked = [...personalTables(project), ...(await undescribedColumns(tx, project))]
  return { masked, closed: ['staging', 'cleansed', 'ods'] }
}
