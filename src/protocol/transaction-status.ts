/** The status byte of ReadyForQuery, unchanged. Source: PostgreSQL documentation, "Message Formats", ReadyForQuery. */
export const TransactionStatus = {
  /** 'I': not in a transaction block; the only status in which a server may change hands. */
  Idle: 0x49,
  /** 'T': in a transaction block. */
  InTransaction: 0x54,
  /** 'E': in a failed transaction block; queries are rejected until it ends. */
  Failed: 0x45,
} as const
export type TransactionStatus = (typeof TransactionStatus)[keyof typeof TransactionStatus]
