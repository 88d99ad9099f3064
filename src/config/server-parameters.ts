/**
 * serverParameters: what the server connections of a database say in their StartupMessage beside user and database.
 * PostgreSQL takes these values for the session's own defaults: RESET and DISCARD ALL lead back to them.
 */
import type { DatabaseConfig } from './config.ts'
import { parameterSettings } from './parameter-settings.ts'

export const serverParameterNames = Object.keys(parameterSettings) as (keyof typeof parameterSettings)[]

export function serverParameters(database: DatabaseConfig): readonly (readonly [string, string])[] {
  return serverParameterNames.flatMap((name) => {
    const value = database[name]
    return value === undefined ? [] : [[name, value] as const]
  })
}
