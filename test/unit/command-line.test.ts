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

  test.each([
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
