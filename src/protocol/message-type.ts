/**
 * Type bytes of the messages of the PostgreSQL wire protocol, version 3.
 * Source: PostgreSQL documentation, "Message Formats".
 * Backend = sent by PostgreSQL, Frontend = sent by an application.
 */

export const FrontendType = {
  Bind: 0x42, // 'B'
  Close: 0x43, // 'C'
  CopyData: 0x64, // 'd'
  CopyDone: 0x63, // 'c'
  CopyFail: 0x66, // 'f'
  Describe: 0x44, // 'D'
  Execute: 0x45, // 'E'
  Flush: 0x48, // 'H'
  FunctionCall: 0x46, // 'F'
  Parse: 0x50, // 'P'
  Password: 0x70, // 'p', also SASLInitialResponse, SASLResponse, GSSResponse
  Query: 0x51, // 'Q'
  Sync: 0x53, // 'S'
  Terminate: 0x58, // 'X'
} as const
export type FrontendType = (typeof FrontendType)[keyof typeof FrontendType]

export const BackendType = {
  Authentication: 0x52, // 'R'
  BackendKeyData: 0x4b, // 'K'
  BindComplete: 0x32, // '2'
  CloseComplete: 0x33, // '3'
  CommandComplete: 0x43, // 'C'
  CopyBothResponse: 0x57, // 'W'
  CopyData: 0x64, // 'd'
  CopyDone: 0x63, // 'c'
  CopyInResponse: 0x47, // 'G'
  CopyOutResponse: 0x48, // 'H'
  DataRow: 0x44, // 'D'
  EmptyQueryResponse: 0x49, // 'I'
  ErrorResponse: 0x45, // 'E'
  FunctionCallResponse: 0x56, // 'V'
  NegotiateProtocolVersion: 0x76, // 'v'
  NoData: 0x6e, // 'n'
  NoticeResponse: 0x4e, // 'N'
  NotificationResponse: 0x41, // 'A'
  ParameterDescription: 0x74, // 't'
  ParameterStatus: 0x53, // 'S'
  ParseComplete: 0x31, // '1'
  PortalSuspended: 0x73, // 's'
  ReadyForQuery: 0x5a, // 'Z'
  RowDescription: 0x54, // 'T'
} as const
export type BackendType = (typeof BackendType)[keyof typeof BackendType]

/** The type byte and the length word in front of every message body. */
export const HEADER_BYTES = 5

function namesByType(types: Readonly<Record<string, number>>): readonly (string | undefined)[] {
  const names: (string | undefined)[] = new Array(256).fill(undefined)
  for (const [name, type] of Object.entries(types)) names[type] = name
  return names
}

const FRONTEND_NAMES = namesByType(FrontendType)
const BACKEND_NAMES = namesByType(BackendType)

/** The documentation's name of a client message, or its byte in hexadecimal if there is none. */
export function frontendTypeName(type: number): string {
  return FRONTEND_NAMES[type] ?? `unknown type 0x${type.toString(16).padStart(2, '0')}`
}

/** The documentation's name of a server message, or its byte in hexadecimal if there is none. */
export function backendTypeName(type: number): string {
  return BACKEND_NAMES[type] ?? `unknown type 0x${type.toString(16).padStart(2, '0')}`
}
