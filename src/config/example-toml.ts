/**
 * exampleToml: the text of pooler.toml.example, made from the table of settings so that it cannot fall
 * behind. Called by write-example.ts and by the test that compares the file with it.
 */
import { sectionHeader, settingsIn } from './read-section.ts'
import type { Scope, Setting, SettingUse } from './setting.ts'

const Beginning = `# Configuration of pooler. The five lines below are enough to start with: clients log in to the database app
# as the user app with this password, and the pooler logs in to PostgreSQL with the same.
# Then follows every setting there is. A line such as #listen_port = 6432 shows the default or, where there is
# none, an example. Times are numbers of seconds or strings: "500ms", "30s", "5min", "1h", "1d".

[databases.app]
host = "127.0.0.1"
port = 5432
[users.app]
password = "change me"
`

const SectionIntroduction: Record<Scope, string> = {
  pooler: `# The process as a whole, and what holds where a database or a user has nothing of its own.
[pooler]
`,
  database: `# One section per database that clients may ask for; [databases."*"] stands in for every name without one.
# A name with other characters than letters, digits, - and _ needs quotes: [databases."my.db"]. The names
# pgbouncer and pooler are reserved.
#[databases.NAME]
`,
  user: `# One section per user who may log in, beside those of auth_file.
#[users.NAME]
`,
}

/** The whole file, with a newline at the end. */
export function exampleToml(): string {
  const scopes: readonly Scope[] = ['pooler', 'database', 'user']
  return [Beginning, ...scopes.map(section)].join('\n\n')
}

function section(scope: Scope): string {
  const entries = settingsIn(scope).map(([name, setting]) => entry(name, setting, scope))
  const rule = '-'.repeat(20)
  const title = `# ${rule} ${sectionHeader[scope]} ${rule}\n`
  return `${title}${SectionIntroduction[scope]}\n${entries.join('\n')}`
}

function entry(name: string, setting: Setting, scope: Scope): string {
  const use: SettingUse = setting.in[scope] ?? { doc: [] }
  const otherwise = use.default === undefined ? use.otherwise : toml(use.default)
  const lines = [...use.doc, `Type: ${kind(setting)}`, `Default: ${otherwise}`]
  const comment = lines.map((line) => `# ${line}\n`).join('')
  return `${comment}#${name} = ${toml(use.default ?? use.example ?? '')}\n`
}

function kind(setting: Setting): string {
  switch (setting.type) {
    case 'integer': {
      const range = setting.max === undefined ? `${setting.min} or more` : `${setting.min} to ${setting.max}`
      const zero = setting.zero === undefined ? '' : `, or 0 for ${setting.zero}`
      const word = setting.word === undefined ? '' : `, or "${setting.word}"`
      return `number${setting.unit === undefined ? '' : ` of ${setting.unit}`}, ${range}${zero}${word}`
    }
    case 'enum':
      return setting.values.map(toml).join(' | ')
    case 'list':
      return 'comma list or array of strings'
    case 'boolean':
      return 'true | false'
    case 'mode':
      return 'octal number, as a string or with the prefix 0o'
    default:
      return setting.type
  }
}

/** JSON's strings, numbers and booleans are TOML's as well. */
function toml(value: string | number | boolean): string {
  return JSON.stringify(value)
}
