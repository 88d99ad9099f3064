import { SqlState } from '../errors.ts'
import { encodeNotice } from '../protocol/error-response.ts'

/**
 * What query_wait_notify sends, in PgBouncer's words, which people look for in logs. Not before AuthenticationOk: libpq
 * takes nothing but an authentication request or an error there.
 */
export const QUEUED_NOTICE = encodeNotice({
  severity: 'NOTICE',
  sqlState: SqlState.SuccessfulCompletion,
  message: 'No server connection available in postgres backend, client being queued',
})
