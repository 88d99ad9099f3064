import { describe, expect, test } from 'vitest'
import { parseCommandLine, UsageError } from '../../src/command-line.ts'

describe('parseCommandLine', () => {
  test('no parameters ask for a start without a configuration file', () => {
    expect(parseCommandLine([])).toEqual({
      command: 'start',
      configFile: undefined,
      port: undefined,
      dataFolder: undefined,
      verbose: 0,
      quiet: false,
      user: undefined,
    })
  })

  test('a file, before or after options, is the configuration file', () => {
    expect(parseCommandLine(['-v', 'a.toml'])).toMatchObject({ configFile: 'a.toml', verbose: 1 })
    expect(parseCommandLine(['a.toml', '--check'])).toMatchObject({ command: 'check', configFile: 'a.toml' })
  })

  test('port and data folder are taken in both spellings', () => {
    expect(parseCommandLine(['--port', '7000', '--data=/srv/x'])).toMatchObject({
      port: 7000,
      dataFolder: '/srv/x',
    })
  })

  test('help and version win over everything else', () => {
    expect(parseCommandLine(['--help', '--port', 'x'])).toEqual({ command: 'help' })
    expect(parseCommandLine(['a', 'b', '--version'])).toEqual({ command: 'version' })
  })

  test("PgBouncer's options are taken in both spellings", () => {
    const wanted = { command: 'start', configFile: 'a.ini', quiet: true, verbose: 2, user: 'app' }
    expect(parseCommandLine(['-q', '-vv', '-u', 'app', 'a.ini'])).toMatchObject(wanted)
    expect(parseCommandLine(['--quiet', '--verbose', '-v', '--user=app', 'a.ini'])).toMatchObject(wanted)
    for (const option of ['-h', '--help']) expect(parseCommandLine([option])).toEqual({ command: 'help' })
    for (const option of ['-V', '--version'])
      expect(parseCommandLine([option])).toEqual({ command: 'version' })
  })

  test('top takes a URL or a file, and --once', () => {
    expect(parseCommandLine(['top'])).toEqual({ command: 'top', target: undefined, once: false })
    expect(parseCommandLine(['top', '--once', 'a.toml'])).toEqual({
      command: 'top',
      target: 'a.toml',
      once: true,
    })
  })

  test('import takes a file', () => {
    expect(parseCommandLine(['import', 'a.ini'])).toEqual({ command: 'import', configFile: 'a.ini' })
    expect(parseCommandLine(['./import'])).toMatchObject({ command: 'start', configFile: './import' })
  })

  test.each([
    [['-d', 'a.ini'], /^-d is not possible: the pooler stays in the foreground; let a service manager/],
    [['--daemon', 'a.ini'], /^-d is not possible/],
    [['-R', 'a.ini'], /^-R is not possible: a running pooler cannot hand its connections over/],
    [['--reboot', 'a.ini'], /^-R is not possible/],
    [['-u'], /'-u, --user <value>' argument missing; /],
    [['--user=', 'a.ini'], /^--user takes the name of an account/],
    [['import'], /^"pooler import" takes one configuration file of PgBouncer and nothing else$/],
    [['import', 'a', 'b'], /^"pooler import" takes one/],
    [['import', 'a', '-v'], /^"pooler import" takes one/],
    [['top', 'a', 'b'], /^"pooler top" takes --once, and the URL of a console or one/],
    [['top', '--port', '1'], /^"pooler top" takes --once/],
    [['--once', 'a.toml'], /^--once is for "pooler top"$/],
    [['--frobnicate'], /^Unknown option '--frobnicate'; "pooler --help" lists the options$/],
    [['-x'], /^Unknown option '-x'; /],
    [['--port'], /'--port <value>' argument missing; /],
    [['--check=yes'], /'--check' does not take an argument; /],
    [['--port', 'http'], /^--port takes a number from 1 to 65535, not "http"$/],
    [['--port', '0'], /not "0"$/],
    [['--port', '65536'], /not "65536"$/],
    [['--port=1e3'], /not "1e3"$/],
    [['a.toml', 'b.toml'], /^one configuration file is enough, but there are 2: a.toml b.toml$/],
    [['--data', 'x', 'a.toml'], /^--data is for a start without a configuration file/],
    [['--port', '1', '--check'], /^--port is for a start without a configuration file/],
  ])('%j is refused in one sentence', (parameters, message) => {
    expect(() => parseCommandLine(parameters)).toThrow(UsageError)
    expect(() => parseCommandLine(parameters)).toThrow(message)
  })
})
