/**
 * The rows of the table of settings about TLS: towards clients, and towards servers, where each database may
 * have its own. What a combination of them lacks (a mode without its key) is said by net/tls-directory.ts,
 * which reads the files. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

const PROTOCOLS = {
  type: 'list',
  reloadable: true,
  pattern: /^(?:secure|tlsv1\.[23])$/,
  expected:
    '"secure" (TLS 1.2 and 1.3), "tlsv1.2" or "tlsv1.3"; older versions are forbidden by RFC 8996 and not offered',
} as const

/** Names of TLS 1.3 begin with TLS_ and have a setting of their own. */
const CIPHERS = {
  type: 'string',
  reloadable: true,
  pattern: /^(?!(?:.*:)?TLS_)[A-Za-z0-9_+\-!@=:]+$/,
  expected: '"default" or a cipher list of OpenSSL, joined by colons, without those of TLS 1.3 (TLS_...)',
} as const

const TLS13_CIPHERS = {
  type: 'string',
  reloadable: true,
  pattern: /^TLS_[A-Z0-9_]+(?::TLS_[A-Z0-9_]+)*$/,
  expected: 'names of TLS 1.3 cipher suites joined by colons, such as "TLS_AES_256_GCM_SHA384"',
} as const

export const tlsSettings = {
  client_tls_sslmode: {
    type: 'enum',
    reloadable: true,
    values: MODES,
    in: {
      pooler: {
        default: 'disable',
        doc: [
          'TLS of clients: "disable" (not offered), "allow" and "prefer" (used by clients that ask for it),',
          '"require" (clients without it are refused), "verify-ca" and "verify-full" (they need a certificate',
          'too that client_tls_ca_file vouches for). All but "disable" need key and certificate.',
        ],
      },
    },
  },
  client_tls_key_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no key, clients cannot use TLS',
        example: 'pooler.key',
        doc: ['Private key of the pooler towards clients, in PEM, without a passphrase. Re-read on reload.'],
      },
    },
  },
  client_tls_cert_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no certificate, clients cannot use TLS',
        example: 'pooler.crt',
        doc: ['The certificate for that key, followed by intermediate ones, in PEM. Re-read on reload.'],
      },
    },
  },
  client_tls_ca_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'clients are not asked for certificates',
        example: 'clients-ca.crt',
        doc: ['Certificates of those who may vouch for certificates of clients, in PEM. Re-read on reload.'],
      },
    },
  },
  client_tls_protocols: {
    ...PROTOCOLS,
    in: {
      pooler: {
        default: 'secure',
        doc: [
          'Versions of TLS that clients may use: "secure" (TLS 1.2 and 1.3), or a list of "tlsv1.2", "tlsv1.3".',
        ],
      },
    },
  },
  client_tls_ciphers: {
    ...CIPHERS,
    in: {
      pooler: {
        default: 'default',
        doc: ['Cipher list of OpenSSL for clients with TLS 1.2; "default" is Node\'s list.'],
      },
    },
  },
  client_tls13_ciphers: {
    ...TLS13_CIPHERS,
    in: {
      pooler: {
        otherwise: "OpenSSL's own",
        example: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
        doc: ['Cipher suites for clients with TLS 1.3.'],
      },
    },
  },
  server_tls_sslmode: {
    type: 'enum',
    reloadable: true,
    values: MODES,
    in: {
      pooler: {
        default: 'prefer',
        doc: [
          'TLS to servers: "disable", "allow" and "prefer" (if the server offers it; its certificate is not',
          'verified), "require" (never without, certificate not verified), "verify-ca" (the certificate must',
          'come from server_tls_ca_file), "verify-full" (and name the host). Unix sockets never use TLS.',
        ],
      },
      database: {
        otherwise: 'server_tls_sslmode of [pooler]',
        example: 'verify-full',
        doc: ['TLS to the server of this database.'],
      },
    },
  },
  server_tls_sslnegotiation: {
    type: 'enum',
    reloadable: true,
    values: ['postgres', 'direct'],
    in: {
      pooler: {
        default: 'postgres',
        doc: [
          'How TLS to servers begins: "postgres" asks first (SSLRequest), "direct" saves that round trip with',
          'PostgreSQL 17 and later; it needs server_tls_sslmode "require" or more. libpq\'s sslnegotiation;',
          'PgBouncer has nothing like it.',
        ],
      },
      database: {
        otherwise: 'server_tls_sslnegotiation of [pooler]',
        example: 'direct',
        doc: ['How TLS to the server of this database begins.'],
      },
    },
  },
  server_tls_ca_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no server can be verified',
        example: 'servers-ca.crt',
        doc: [
          'Certificates of those who may vouch for servers, in PEM; "verify-ca" and "verify-full" need it.',
          'Re-read on reload.',
        ],
      },
      database: {
        otherwise: 'server_tls_ca_file of [pooler]',
        example: 'servers-ca.crt',
        doc: ['Who may vouch for the server of this database.'],
      },
    },
  },
  server_tls_key_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no client certificate',
        example: 'pooler-client.key',
        doc: [
          'Private key of the pooler towards servers that ask for a certificate, in PEM, without a passphrase.',
          'Re-read on reload.',
        ],
      },
      database: {
        otherwise: 'server_tls_key_file of [pooler]',
        example: 'pooler-client.key',
        doc: ['Private key of the pooler towards the server of this database.'],
      },
    },
  },
  server_tls_cert_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no client certificate',
        example: 'pooler-client.crt',
        doc: ['The certificate for that key, in PEM. Re-read on reload.'],
      },
      database: {
        otherwise: 'server_tls_cert_file of [pooler]',
        example: 'pooler-client.crt',
        doc: ['The certificate for the key of this database.'],
      },
    },
  },
  server_tls_protocols: {
    ...PROTOCOLS,
    in: {
      pooler: {
        default: 'secure',
        doc: ['Versions of TLS to servers: "secure" (TLS 1.2 and 1.3), or a list of "tlsv1.2", "tlsv1.3".'],
      },
      database: {
        otherwise: 'server_tls_protocols of [pooler]',
        example: 'tlsv1.3',
        doc: ['Versions of TLS to the server of this database.'],
      },
    },
  },
  server_tls_ciphers: {
    ...CIPHERS,
    in: {
      pooler: {
        default: 'default',
        doc: ['Cipher list of OpenSSL to servers with TLS 1.2; "default" is Node\'s list.'],
      },
      database: {
        otherwise: 'server_tls_ciphers of [pooler]',
        example: 'ECDHE+AESGCM',
        doc: ['Cipher list to the server of this database with TLS 1.2.'],
      },
    },
  },
  server_tls13_ciphers: {
    ...TLS13_CIPHERS,
    in: {
      pooler: {
        otherwise: "OpenSSL's own",
        example: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
        doc: ['Cipher suites to servers with TLS 1.3.'],
      },
      database: {
        otherwise: 'server_tls13_ciphers of [pooler]',
        example: 'TLS_AES_256_GCM_SHA384',
        doc: ['Cipher suites to the server of this database with TLS 1.3.'],
      },
    },
  },
} as const satisfies Record<string, Setting>
