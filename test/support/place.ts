import path from 'node:path'
import type { OpenProject } from '../../src/app/project.ts'
import { realEnv, type Env } from '../../src/core/env.ts'

/** Where a project of this process lies, as opening its file would say. */
export function placeIn(
  folder: string,
  env: Env = realEnv(),
): Pick<OpenProject, 'configFile' | 'configDir' | 'stateDir' | 'env'> {
  return {
    configFile: path.join(folder, 'naru.config.ts'),
    configDir: folder,
    stateDir: path.join(folder, '.naru'),
    env,
  }
}
