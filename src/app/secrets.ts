import path from 'node:path'
import type { Env } from '../core/env.ts'
import { fail, systemCodeOf } from '../core/errors.ts'
import { Secret, type SecretRef } from '../core/secret.ts'
import type { Project, SourceDef } from '../config/model.ts'

/** Resolves where a secret comes from. `usedBy` names the option in `ENV_MISSING`. */
export type RevealSecret = (ref: SecretRef, usedBy: string) => Secret

/**
 * Secrets from the environment and from files, by absolute path or from the config's folder. Files are read once, when
 * the project opens; one that cannot be read is an error only for what needs it.
 */
export async function secretResolver(env: Env, configDir: string, refs: readonly SecretRef[]): Promise<RevealSecret> {
  const contents = new Map<string, string | Error>()
  for (const ref of refs) {
    if (ref.from !== 'file' || contents.has(ref.name)) continue
    const file = path.resolve(configDir, ref.name)
    try {
      contents.set(ref.name, (await env.files.readFile(file, 'utf8')).trim())
    } catch (error) {
      const problem = systemCodeOf(error) ?? 'unreadable'
      contents.set(ref.name, fail('SECRET_FILE', { file, problem }, { cause: error }))
    }
  }
  return (ref, usedBy) => {
    const value = ref.from === 'env' ? env.variables[ref.name] : contents.get(ref.name)
    if (value instanceof Error) throw value
    if (value === undefined || value === '') throw fail('ENV_MISSING', { name: ref.name, usedBy })
    return new Secret(value)
  }
}

/**
 * Looks up every secret that a run of these sources will need, so that a missing one is found before the first row is
 * read and not hours behind it.
 */
export function requireSecrets(reveal: RevealSecret, project: Project, sources: readonly SourceDef[]): void {
  for (const source of sources) {
    for (const [option, value] of Object.entries(source.options)) {
      for (const ref of secretRefsIn(value)) reveal(ref, `source "${source.name}", option "${option}"`)
    }
  }
  for (const { name, masks } of project.exports) {
    for (const { column, mask } of masks) {
      for (const ref of secretRefsIn(mask)) reveal(ref, `the mask of column "${column}" of export "${name}"`)
    }
  }
}

/** Every secret reference inside plain data, at any depth. */
export function secretRefsIn(value: unknown): readonly SecretRef[] {
  if (typeof value !== 'object' || value === null) return []
  if ('kind' in value && value.kind === 'secret') return [value as SecretRef]
  return Object.values(value).flatMap(secretRefsIn)
}
