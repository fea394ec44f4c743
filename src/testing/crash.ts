import fs from 'node:fs'
import type { CrashPoint, Env } from '../core/env.ts'

/** An Env that kills this process, as a power cut would, at the nth visit of a crash point. */
export function crashingEnv(env: Env, at: { readonly point: CrashPoint; readonly visit: number }): Env {
  let visits = 0
  return {
    ...env,
    crash: point => {
      if (point !== at.point) return
      visits += 1
      if (visits < at.visit) return
      fs.writeSync(2, `killed at ${point}, visit ${visits}\n`)
      process.kill(process.pid, 'SIGKILL')
    },
  }
}

/** An Env that writes each crash point it passes to `passed`: how a test learns which there are. */
export function recordingEnv(env: Env, passed: CrashPoint[]): Env {
  return { ...env, crash: point => void passed.push(point) }
}

/** An Env whose clock stands at `micros`, so that two runs make rows with the same times. Durations stay real. */
export function fixedClockEnv(env: Env, micros: bigint): Env {
  return { ...env, clock: { ...env.clock, nowMicros: () => micros } }
}
