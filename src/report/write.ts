import path from 'node:path'
import type { Env } from '../core/env.ts'
import { durableWrite } from '../core/files.ts'
import type { QualityReport } from './model.ts'
import { renderReport } from './render.ts'

/** Where a report was written. */
export interface ReportPaths {
  readonly html: string
  readonly json: string
}

/** Writes `report.html` and `report.json` into `folder`, which is made when missing. Each is the old file or the new one. */
export async function writeReport(env: Env, folder: string, report: QualityReport): Promise<ReportPaths> {
  const paths = { html: path.join(folder, 'report.html'), json: path.join(folder, 'report.json') }
  await durableWrite(env, paths.json, `${JSON.stringify(report, null, 2)}\n`)
  await durableWrite(env, paths.html, renderReport(report))
  return paths
}
