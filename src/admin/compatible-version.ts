/** The PgBouncer whose console this is: what monitoring tools ask for before they ask for more. */
export const COMPATIBLE_VERSION = '1.25.2'
