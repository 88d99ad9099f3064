/** Settings that make a difference and are measured on and off, each with a workload of its own. */
export interface Feature {
  /** As it is written in the table. */
  readonly setting: string
  /** Lines of the configuration, of [pooler] and of the database. */
  readonly pooler: string
  readonly database: string
  /** How long it has to be under load before it is what it will be. */
  readonly settleSeconds: number
}

export const PREPARE_UNNAMED: Feature = {
  setting: 'prepare_unnamed = true',
  pooler: 'prepare_unnamed = true',
  database: '',
  settleSeconds: 0,
}

export const LAZY_BEGIN: Feature = {
  setting: 'lazy_begin = true',
  pooler: 'lazy_begin = true',
  database: '',
  settleSeconds: 0,
}

export const AUTO_POOL_SIZE: Feature = {
  setting: 'pool_size = "auto"',
  pooler: '',
  database: 'pool_size = "auto"',
  settleSeconds: 20,
}

export const ALL_ON: Feature = {
  setting: 'all three',
  pooler: 'prepare_unnamed = true\nlazy_begin = true',
  database: 'pool_size = "auto"',
  settleSeconds: 20,
}

/** What they are compared with, whatever the defaults are. */
export const ALL_OFF: Feature = {
  setting: 'all off',
  pooler: 'prepare_unnamed = false\nlazy_begin = false',
  database: '',
  settleSeconds: 0,
}
