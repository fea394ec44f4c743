import path from 'node:path'
import type { Env } from '../core/env.ts'
import { loadConfig } from '../config/load.ts'
import type { EngineDef, Project } from '../config/model.ts'
import { readOptions } from '../core/implementation.ts'
import { duckdb } from '../services/engine/duckdb/index.ts'
import type { Engine } from '../services/engine/contract.ts'
import { personalColumns } from './personal.ts'
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
}

/** Evaluates the config and looks up where its secrets come from. Connects to nothing. */
export async function openProject(
  env: Env,
  asked: { readonly config: string | undefined; readonly cwd: string },
): Promise<OpenProject> {
  const configFile = path.resolve(asked.cwd, asked.config ?? 'naru.config.ts')
  const project = await loadConfig(env, configFile)
  const configDir = path.dirname(configFile)
  const stateDir = path.join(configDir, '.naru')
  const secret = await secretResolver(env, configDir, secretRefsIn(project))
  return { project, configFile, configDir, stateDir, env, secret }
}

/** Where the embedded engine keeps its file. */
export function databaseFile(open: Pick<OpenProject, 'project' | 'configDir'>): string {
  return path.resolve(open.configDir, String(engineOptions(open.project.engine)['path']))
}

function engineOptions(engine: EngineDef): Readonly<Record<string, unknown>> {
  return readOptions(duckdb.options, engine.options, 'engine "duckdb"')
}

/** Opens the engine: to write, to read, or for the queries of people, who see personal columns masked. */
export async function openEngine(open: OpenProject, access: 'write' | 'read' | 'people'): Promise<Engine> {
  const { openEngine: openIt } = await duckdb.open()
  const options = {
    ...engineOptions(open.project.engine),
    path: databaseFile(open),
    readOnly: access !== 'write',
    masked: access === 'people' ? personalColumns(open.project) : undefined,
  }
  return openIt(options, open.env)
}
