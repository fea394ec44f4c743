// What tsc does not do: the command is executable.
import { chmodSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

chmodSync(join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist', 'cli', 'main.js'), 0o755)
