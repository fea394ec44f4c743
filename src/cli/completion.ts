import { fail } from '../core/errors.ts'
import { commonFlags, type Call } from './command.ts'
import { commands } from './commands.ts'

/** Prints the completion script of a shell, made from the same table as parsing and help. */
export async function run(call: Call): Promise<void> {
  const [shell] = call.args
  if (shell !== 'bash' && shell !== 'zsh') {
    throw fail('USAGE', { problem: `there is no completion for "${shell}"; bash and zsh have one` })
  }
  const bash = bashScript()
  call.output.print(shell === 'bash' ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`)
}

function bashScript(): string {
  const common = commonFlags.map(flag => `--${flag.name}`)
  const cases = commands.map(command => {
    const words = [...command.flags.map(flag => `--${flag.name}`), ...common]
    return `    ${command.name}) words="${words.join(' ')}" ;;`
  })
  return `_naru() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    *) words="${commands.map(command => command.name).join(' ')} --help --version" ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words="${commands.map(command => command.name).join(' ')} --help --version"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _naru naru`
}
