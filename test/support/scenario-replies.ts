import { BackendType } from '../../src/protocol/message-type.ts'
import {
  bindComplete,
  commandComplete,
  dataRow,
  fieldsMessage,
  parseComplete,
  rowDescription,
} from './backend-messages.ts'
import { message } from './frontend-messages.ts'

/** Replies that scenarios need often. */

/** To Bind and Execute. */
export const ran = (value: string): Buffer =>
  Buffer.concat([bindComplete(), dataRow(value), commandComplete('SELECT 1')])

/** To Parse, Bind, Describe of the portal and Execute. */
export const ranExtended = (value: string): Buffer =>
  Buffer.concat([
    parseComplete(),
    bindComplete(),
    rowDescription('value'),
    dataRow(value),
    commandComplete('SELECT 1'),
  ])

/** To Describe of a statement that returns rows. */
export const described = (): Buffer =>
  Buffer.concat([message(BackendType.ParameterDescription, (body) => body.int16(0)), rowDescription('value')])

export const closeComplete = (): Buffer => message(BackendType.CloseComplete)
export const copyIn = (): Buffer => message(BackendType.CopyInResponse, (body) => body.byte(0).int16(0))
export const copyOut = (): Buffer => message(BackendType.CopyOutResponse, (body) => body.byte(0).int16(0))
export const functionResult = (): Buffer =>
  message(BackendType.FunctionCallResponse, (body) => body.int32(-1))

/** 0A000 "cached plan must not change result type", as PostgreSQL raises it. */
export const outdatedPlan = (): Buffer =>
  fieldsMessage(BackendType.ErrorResponse, {
    S: 'ERROR',
    V: 'ERROR',
    C: '0A000',
    M: 'cached plan must not change result type',
    R: 'RevalidateCachedQuery',
  })

/** The FATAL of an administrator's shutdown. */
export const shutdown = (): Buffer =>
  fieldsMessage(BackendType.ErrorResponse, {
    S: 'FATAL',
    V: 'FATAL',
    C: '57P01',
    M: 'terminating connection due to administrator command',
  })
